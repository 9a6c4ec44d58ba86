// Ids that nobody else chooses.

/**
 * A random UUID, also on pages served over plain http, where `crypto.randomUUID` does not exist.
 *
 * @returns {string}
 */
export function randomId() {
  const { crypto } = globalThis;
  if (crypto?.randomUUID) return crypto.randomUUID();
  const bytes = new Uint8Array(16);
  // Node 18 has no global crypto. An id must be unique, not secret.
  if (crypto) crypto.getRandomValues(bytes);
  else bytes.forEach((_, index) => (bytes[index] = Math.floor(Math.random() * 256)));
  return uuidOf(bytes);
}

/**
 * The UUID (version 4) of 16 random bytes.
 *
 * @param {Uint8Array} bytes
 */
export function uuidOf(bytes) {
  const hex = Array.from(bytes, (byte, index) => {
    if (index === 6) return (byte & 0x0f) | 0x40;
    return index === 8 ? (byte & 0x3f) | 0x80 : byte;
  }).map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
