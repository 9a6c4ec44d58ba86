// The close codes that ask for something other than an ordinary reconnect.

export const Close = Object.freeze({
  BROKEN: 1006,
  NOT_AUTHORISED: 1008,
  FRAME_TOO_LARGE: 1009,
  OVERLOADED: 1013,
  TOO_SLOW: 4000,
  REMOVED: 4001,
});

/** Reasons of 1008. A third one, that nobody was authorised in time, says that the server or a token was slow. */
const TOKEN_EXPIRED = 'token expired';
const REFUSED = 'too many frames were refused';

/** Whether a new token does away with the reason. @param {number} code @param {string} reason */
export function isTokenExpired(code, reason) {
  return code === Close.NOT_AUTHORISED && reason === TOKEN_EXPIRED;
}

/** Whether coming back would end alike. @param {number} code @param {string} reason */
export function isFinal(code, reason) {
  return code === Close.NOT_AUTHORISED && reason === REFUSED;
}
