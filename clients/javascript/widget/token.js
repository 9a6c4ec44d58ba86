// Fetches a token from the product.

/**
 * The token that an address of the product answers with, as text or as JSON with a `token`.
 *
 * @param {string | URL} url
 * @param {typeof fetch} [get]
 * @returns {Promise<string>}
 */
export async function fetchToken(url, get = fetch) {
  const response = await get(url, { cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const text = (await response.text()).trim();
  if (!/^[{"]/u.test(text)) return text;
  const answer = JSON.parse(text);
  return typeof answer === 'string' ? answer : answer.token;
}
