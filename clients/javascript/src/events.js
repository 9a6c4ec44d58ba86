// The client's events: typed, and handed out one after the other when the client is done with what caused them.

/**
 * @import { EventDetails } from './types.js'
 *
 * @typedef {keyof EventDetails} EventType
 */

/**
 * An event of a client; `detail` is what its `type` says.
 *
 * @template {EventType} [T=EventType]
 */
export class ChatEvent extends Event {
  /** @param {T} type @param {EventDetails[T]} detail */
  constructor(type, detail) {
    super(type);
    /** @type {EventDetails[T]} */
    this.detail = detail;
  }
}

/**
 * Hands out events. Never from within the code that emits them: a listener may call any method, and finds the
 * client in a state that holds together.
 */
export class Emitter {
  #dispatch;
  /** @type {{ event: ChatEvent, isWanted: () => boolean }[]} */
  #waiting = [];

  /** @param {(event: ChatEvent) => void} dispatch */
  constructor(dispatch) {
    this.#dispatch = dispatch;
  }

  /**
   * @template {EventType} T
   * @param {T} type
   * @param {EventDetails[T]} detail
   * @param {() => boolean} [isWanted] whether it still is, when its turn comes
   */
  emit(type, detail, isWanted = () => true) {
    this.#waiting.push({ event: /** @type {ChatEvent} */ (new ChatEvent(type, detail)), isWanted });
    // Before whoever waits for a promise that is resolved after this.
    if (this.#waiting.length === 1) queueMicrotask(() => this.#handOut());
  }

  #handOut() {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (next.isWanted()) this.#dispatch(next.event);
      this.#waiting.shift();
    }
  }
}
