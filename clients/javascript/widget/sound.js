// Two soft tones, made on the spot: there is no file to load and nothing for a policy to forbid.

const TONES = /** @type {const} */ ([[660, 0], [880, 0.12]]);
const LASTS_S = 0.3;
const LOUDNESS = 0.06;

export class Sound {
  /** @type {AudioContext | undefined} */
  #context;

  /** Plays it, if the browser lets the page: it does once its user has done something there. */
  play() {
    if (typeof AudioContext !== 'function' || navigator.userActivation?.hasBeenActive === false) return;
    const context = this.#context ??= new AudioContext();
    context.resume().catch(() => {});
    for (const [frequency, after] of TONES) {
      const begin = context.currentTime + after;
      const tone = new OscillatorNode(context, { type: 'sine', frequency });
      const volume = new GainNode(context, { gain: 0 });
      volume.gain.setValueAtTime(0, begin);
      volume.gain.linearRampToValueAtTime(LOUDNESS, begin + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, begin + LASTS_S);
      tone.connect(volume).connect(context.destination);
      tone.start(begin);
      tone.stop(begin + LASTS_S);
    }
  }

  end() {
    this.#context?.close().catch(() => {});
    this.#context = undefined;
  }
}
