/**
 * The page at `/`: a form to join a channel, then the widget on all of the page.
 */

import { ChatError, Goch } from './widget.js';

/** In sessionStorage: a tab is one member, so that two tabs can talk to each other. */
const MEMBER_KEY = 'goch.member';

/** @typedef {{ channel: string, uid: string, secret: string, name: string, email: string }} Member */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
const byId = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} id @param {string} text shown if there is one */
function setNotice(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = text === '';
}

// --- the member of this tab -----------------------------------------------------------------

/** @returns {Member | undefined} */
function recallMember() {
  try {
    const member = JSON.parse(sessionStorage.getItem(MEMBER_KEY) ?? 'null');
    return member?.channel && member.uid && member.secret ? member : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Member} member */
function rememberMember(member) {
  try {
    sessionStorage.setItem(MEMBER_KEY, JSON.stringify(member));
  } catch {
    // Storage is switched off: a reload will ask again.
  }
}

function forgetMember() {
  try {
    sessionStorage.removeItem(MEMBER_KEY);
  } catch {
    // There was nothing to forget.
  }
}

// --- joining --------------------------------------------------------------------------------

/** The inputs by the name that an error's `field` has. */
const INPUTS = {
  channel: 'join-channel',
  // As a part of the address.
  name: 'join-channel',
  display_name: 'join-name',
  email: 'join-email',
  uid: 'join-uid',
  channel_secret: 'join-channel-secret',
  secret: 'join-secret',
};

/** @param {keyof typeof INPUTS} field */
const input = (field) => /** @type {HTMLInputElement} */ (byId(INPUTS[field]));

function clearJoinErrors() {
  setNotice('join-error', '');
  for (const id of Object.values(INPUTS)) {
    byId(id).removeAttribute('aria-invalid');
    setNotice(`${id}-error`, '');
  }
}

/** @param {ChatError} error */
function showJoinError({ code, field, message }) {
  if (code === 'conflict' || code === 'forbidden') byId('join-secrets').setAttribute('open', '');
  if (field && field in INPUTS) {
    const faulty = input(/** @type {keyof typeof INPUTS} */ (field));
    setNotice(`${faulty.id}-error`, joinErrorText(code, message));
    faulty.setAttribute('aria-invalid', 'true');
    faulty.closest('details')?.setAttribute('open', '');
    faulty.focus();
  } else {
    setNotice('join-error', joinErrorText(code, message));
  }
}

/** @param {string} code @param {string} message */
function joinErrorText(code, message) {
  if (code === 'conflict') return 'This user id is taken. If it is yours, enter your secret below; else choose another.';
  if (code === 'forbidden') return 'There is no such channel, or its channel secret is another one.';
  return message;
}

/**
 * @param {{ channel?: string | null, name?: string | null, uid?: string | null, email?: string | null }} prefill
 * @param {string} [problem]
 */
function showJoin({ channel, name, uid, email }, problem = '') {
  clearJoinErrors();
  input('channel').value = channel ?? '';
  input('display_name').value = name ?? '';
  input('email').value = email ?? '';
  input('uid').value = uid || `guest-${Math.random().toString(36).slice(2, 10)}`;
  input('channel_secret').value = '';
  input('secret').value = '';
  setNotice('join-error', problem);

  byId('chat-view').hidden = true;
  byId('join-view').hidden = false;
  document.title = 'Join a chat · Goch';
  const fields = [input('channel'), input('display_name'), input('email')];
  (fields.find(({ value }) => value === '') ?? byId('join-submit')).focus();
}

/** @param {SubmitEvent} submit */
async function submitJoin(submit) {
  submit.preventDefault();
  clearJoinErrors();
  const name = input('display_name').value.trim();
  const email = input('email').value.trim();
  const button = /** @type {HTMLButtonElement} */ (byId('join-submit'));
  button.disabled = true;
  try {
    const credentials = await Goch.join({
      channel: input('channel').value.trim(),
      channelSecret: input('channel_secret').value,
      uid: input('uid').value.trim(),
      displayName: name,
      email,
      secret: input('secret').value,
    });
    const member = { ...credentials, name, email };
    rememberMember(member);
    showChat(member);
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    showJoinError(error);
  } finally {
    button.disabled = false;
  }
}

// --- the chat -------------------------------------------------------------------------------

/** @param {Member} member */
function showChat(member) {
  const { channel, uid, secret, name, email } = member;
  const chat = /** @type {import('./widget.js').GochChat} */ (document.createElement('goch-chat'));
  chat.setAttribute('layout', 'page');
  chat.setAttribute('channel', channel);
  chat.setAttribute('heading', channel);
  chat.setAttribute('title-badge', '');
  chat.member = { uid, secret };
  const leave = document.createElement('button');
  leave.type = 'button';
  leave.slot = 'actions';
  leave.className = 'quiet';
  leave.dataset.testid = 'leave';
  leave.textContent = 'Leave';
  chat.append(leave);

  const end = (problem = '') => {
    chat.remove();
    forgetMember();
    showJoin({ channel, name, email }, problem);
  };
  leave.addEventListener('click', () => end());
  chat.addEventListener('error', ({ detail: { error } }) => {
    if (['unauthorized', 'removed'].includes(error.code)) end('You are not a member of this channel (any more).');
  });
  document.title = `${channel} · Goch`;
  byId('join-view').hidden = true;
  byId('chat-view').hidden = false;
  byId('chat-view').replaceChildren(chat);
  chat.open();
}

// --- start ----------------------------------------------------------------------------------

function start() {
  byId('join-form').addEventListener('submit', (submit) => submitJoin(/** @type {SubmitEvent} */ (submit)));
  const query = new URLSearchParams(location.search);
  const member = recallMember();
  /** @param {string} key @param {string | undefined} value */
  const agrees = (key, value) => !query.get(key) || query.get(key) === value;
  if (member && agrees('channel', member.channel) && agrees('uid', member.uid)) {
    showChat(member);
  } else {
    showJoin({
      channel: query.get('channel'),
      name: query.get('name'),
      uid: query.get('uid'),
      email: query.get('email'),
    });
  }
}

start();
