// Joining a channel over REST.

import { ChatError } from './error.js';

/**
 * Joins a channel. Keep the returned secret: it is what `subscribe` needs.
 *
 * @param {{ channel: string, channelSecret?: string, uid: string, displayName: string, email: string,
 *   secret?: string }} member `secret`: one's own, to come back under a known uid
 * @param {{ url: string | URL, timeoutMs?: number }} options `url`: the gateway's
 *   address, as `https://chat.example.org`
 * @returns {Promise<{ channel: string, uid: string, secret: string }>} credentials for `subscribe`
 * @throws {ChatError} with the `code` and, for a bad field, the `field` of the problem document, which is `name` for the
 *   channel's; `bad_request` if `url` is no address
 */
export async function join(member, { url, timeoutMs = 15_000 }) {
  const address = membersOf(member.channel, url);
  const body = {
    channel_secret: member.channelSecret || undefined,
    uid: member.uid,
    display_name: member.displayName,
    email: member.email,
    secret: member.secret || undefined,
  };
  let response;
  try {
    response = await fetch(address, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new ChatError('network', 'The server cannot be reached.');
  }
  /** @type {any} */
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const message = answer.detail ?? answer.title ?? `The server answered ${response.status}.`;
    throw new ChatError(answer.code ?? 'internal', message, { field: answer.field, status: response.status });
  }
  return { channel: answer.channel, uid: answer.uid, secret: answer.secret };
}

/** Where a channel's members are. @param {string} channel @param {string | URL} url the gateway's address */
function membersOf(channel, url) {
  try {
    // Without a slash at its end, the last part of a path would be replaced.
    const gateway = new URL(String(url).replace(/\/?$/, '/'), globalThis.location?.href);
    return new URL(`v1/channels/${encodeURIComponent(channel)}/members`, gateway);
  } catch {
    throw new ChatError('bad_request', `The option url is no address: ${url}`);
  }
}
