// A WebSocket whose other end is simulated.

/**
 * @typedef {object} Line the other end
 * @property {(data: string) => void} sent
 * @property {() => void} closed
 */

/** What the client takes for a WebSocket. */
export class SimulatedSocket extends EventTarget {
  readyState = 0;
  /** @type {Line | undefined} */
  #line;

  /** @param {(socket: SimulatedSocket) => Line} connect */
  constructor(connect) {
    super();
    this.#line = connect(this);
  }

  /** @param {string} data */
  send(data) {
    if (this.readyState === 0) throw new Error('not open yet');
    if (this.readyState === 1) this.#line?.sent(data);
  }

  close() {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.#line?.closed();
  }

  open() {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }

  /** @param {string} data */
  receive(data) {
    if (this.readyState === 1) this.dispatchEvent(Object.assign(new Event('message'), { data }));
  }

  /** @param {number} code @param {string} reason */
  end(code, reason) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
}
