// How the widget looks. The sheet is handed to the browser as an object: no policy against inline styles applies to it.
// Properties that begin with `--goch-` are the product's, those with `--_` our own.

/** A colour in the light theme and in the dark one, each of which the product may set. @param {string} name @param {string} light @param {string} dark */
const color = (name, light, dark) => (
  `--_${name}: light-dark(var(--goch-${name}, ${light}), var(--goch-${name}-dark, ${dark}));`
);

export const STYLES = `
:host { display: contents; }
:host([layout=page]) { display: block; height: 100%; min-height: 0; }
:host([hidden]) { display: none; }
[hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }

.root {
  all: initial;
  ${color('accent', '#0d6b58', 'var(--goch-accent, #54cfb0)')}
  ${color('on-accent', '#fff', 'var(--goch-on-accent, #04241c)')}
  ${color('own', 'var(--_accent)', 'var(--goch-own, #14594a)')}
  ${color('on-own', 'var(--_on-accent)', 'var(--goch-on-own, #eefaf6)')}
  ${color('surface', '#fff', '#17191c')}
  ${color('bubble', '#f0f2f3', '#25292e')}
  ${color('text', '#16191d', '#eceef0')}
  ${color('muted', '#5b636d', '#a3abb4')}
  ${color('line', '#e3e6e9', '#2c3136')}
  --_field: light-dark(#868e97, #79828c);
  --_danger: light-dark(#b3261e, #ff9f95);
  --_danger-ground: light-dark(#fdf0ee, #3a201d);
  --_notice: light-dark(#7a4d00, #f3c76b);
  --_notice-ground: light-dark(#fff6e0, #352a12);
  --_here: light-dark(#16a06a, #3ddc97);
  --_shadow: 0 0 0 1px light-dark(#1018280f, #ffffff17), 0 12px 40px light-dark(#1018282e, #0000008c), 0 2px 8px #10182814;
  color-scheme: light dark;
  --_radius: var(--goch-radius, 18px);
  --_inset: var(--goch-inset, 20px);
  display: contents;
  color: var(--_text);
  font: 400 15px/1.45 var(--goch-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Noto Sans Arabic", sans-serif);
  text-align: start;
  -webkit-text-size-adjust: 100%;
}
:host([theme=light]) .root { color-scheme: light; }
:host([theme=dark]) .root { color-scheme: dark; }
.root[dir=rtl] { direction: rtl; }
.root[dir=ltr] { direction: ltr; }

button, textarea { font: inherit; color: inherit; letter-spacing: inherit; margin: 0; }
button { border: 0; padding: 0; background: none; cursor: pointer; }
button:disabled { cursor: default; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
svg { width: 20px; height: 20px; flex: none; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
.hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.icon { display: grid; place-items: center; width: 36px; height: 36px; border-radius: 50%; color: var(--_muted); }
.icon:hover:enabled { background: var(--_bubble); color: var(--_text); }
.column { width: 100%; max-width: 760px; margin-inline: auto; }

/* The corner */
.launcher {
  position: fixed; bottom: var(--_inset); inset-inline-end: var(--_inset); z-index: var(--goch-z-index, 2147483000);
  display: grid; place-items: center; width: 56px; height: 56px; border-radius: 50%;
  background: var(--_accent); color: var(--_on-accent); box-shadow: var(--_shadow); transition: transform .15s ease;
}
.launcher svg { width: 28px; height: 28px; }
.launcher:hover { transform: scale(1.05); }
.launcher:active { transform: scale(.97); }
.launcher:focus-visible { outline-offset: 3px; }
.badge {
  position: absolute; top: -3px; inset-inline-end: -3px; min-width: 22px; padding-inline: 6px; border-radius: 11px;
  background: #c62f26; color: #fff; box-shadow: 0 0 0 2px var(--_surface); font-size: 12px; font-weight: 650; line-height: 22px; text-align: center;
}
.panel {
  display: flex; flex-direction: column; min-height: 0; overflow: hidden; background: var(--_surface); color: var(--_text); outline: none;
}
.corner > .panel {
  position: fixed; bottom: calc(var(--_inset) + 72px); inset-inline-end: var(--_inset); z-index: var(--goch-z-index, 2147483000);
  width: min(var(--goch-width, 384px), 100vw - 2 * var(--_inset));
  height: min(var(--goch-height, 660px), 100vh - 92px - 2 * var(--_inset));
  height: min(var(--goch-height, 660px), 100dvh - 92px - 2 * var(--_inset));
  border-radius: var(--_radius); box-shadow: var(--_shadow); animation: come .18s cubic-bezier(.2, .8, .3, 1);
}
.page > .panel { width: 100%; height: 100%; }
@keyframes come { from { opacity: 0; transform: translateY(12px) scale(.985); } }
@media (max-width: 480px) {
  .corner > .panel { inset: 0; width: 100%; height: 100vh; height: 100dvh; border-radius: 0; box-shadow: none; }
  .corner.is-open > .launcher { display: none; }
}

/* Above and below the conversation */
.header {
  display: flex; align-items: center; gap: 8px; min-height: 64px; padding: 10px 18px; padding-inline-end: 12px;
  border-bottom: 1px solid var(--_line);
}
.page > .panel > .header { padding-inline: max(18px, 50% - 380px); }
.heading { flex: 1; min-width: 0; }
.title { margin: 0; overflow: hidden; font-size: 16px; font-weight: 650; line-height: 1.35; letter-spacing: -.01em; text-overflow: ellipsis; white-space: nowrap; }
.presence { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 8px; max-height: 40px; overflow: hidden; color: var(--_muted); font-size: 13px; }
.dot { width: 8px; height: 8px; border-radius: 50%; background: var(--_here); }
.somebody { display: inline-flex; align-items: center; gap: 5px; min-width: 0; }
.somebody bdi { overflow: hidden; max-width: 160px; text-overflow: ellipsis; white-space: nowrap; }
.role { padding: 0 6px; border: 1px solid var(--_line); border-radius: 999px; color: var(--_muted); font-size: 11px; font-weight: 500; line-height: 17px; white-space: nowrap; }
.role[data-role=agent] { border-color: var(--_accent); background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.banner {
  display: flex; align-items: center; justify-content: center; gap: 10px; padding: 7px 16px;
  background: var(--_notice-ground); color: var(--_notice); font-size: 13px; font-weight: 500;
}
.banner button, .failure button, .confirm button {
  min-height: 26px; padding: 1px 8px; border-radius: 8px; font-weight: 600; text-decoration: underline; text-underline-offset: 3px;
}
.banner button:hover, .failure button:hover, .confirm button:hover { text-decoration-thickness: 2px; }
.foot { padding: 4px 14px 14px; padding-bottom: max(14px, env(safe-area-inset-bottom)); }
.typing { display: flex; align-items: center; gap: 8px; min-height: 24px; padding-inline: 6px; color: var(--_muted); font-size: 13px; }
.dots { display: inline-flex; gap: 3px; }
.dots i { width: 5px; height: 5px; border-radius: 50%; background: currentColor; animation: wait 1.2s infinite; }
.dots i:nth-child(2) { animation-delay: .15s; }
.dots i:nth-child(3) { animation-delay: .3s; }
@keyframes wait { 0%, 60%, 100% { opacity: .3; } 30% { opacity: 1; } }
.ended, .refused {
  display: flex; flex-direction: column; align-items: center; gap: 10px; padding: 14px; border-radius: 14px;
  background: var(--_bubble); color: var(--_muted); font-size: 14px; text-align: center;
}
.editing { display: flex; align-items: center; gap: 8px; padding-inline: 10px 2px; color: var(--_muted); font-size: 13px; }
.editing svg { width: 16px; height: 16px; }
.editing span { flex: 1; }
.field {
  display: flex; align-items: end; gap: 4px; padding: 4px; border: 1px solid var(--_field); border-radius: 24px; background: var(--_surface);
}
.field:focus-within { border-color: var(--_accent); box-shadow: 0 0 0 1px var(--_accent); }
.field:has([aria-invalid=true]) { border-color: var(--_danger); box-shadow: 0 0 0 1px var(--_danger); }
.input {
  flex: 1; min-width: 0; min-height: 36px; max-height: 140px; padding: 7px 12px; border: 0; outline: none !important;
  background: none; font-size: 16px; line-height: 22px; resize: none; overflow-y: auto;
}
@media (hover: hover) { .input { font-size: 15px; } }
.input::placeholder { color: var(--_muted); opacity: 1; }
.send { flex: none; background: var(--_accent) !important; color: var(--_on-accent) !important; transition: opacity .12s; }
.send:disabled { background: var(--_bubble) !important; color: var(--_muted) !important; }
.count { padding-inline: 12px; color: var(--_muted); font-size: 12px; text-align: end; }
.field:has([aria-invalid=true]) + .count { color: var(--_danger); font-weight: 600; }

/* The conversation */
.stage { position: relative; flex: 1; min-height: 0; }
.log { height: 100%; overflow: hidden auto; padding: 14px 14px 6px; overflow-anchor: none; overscroll-behavior: contain; scrollbar-width: thin; }
.log:focus-visible { outline-offset: -3px; }
.log > .column { display: flex; flex-direction: column; min-height: 100%; }
.rows { margin-top: auto; }
.older { align-self: center; min-height: 32px; padding: 4px 14px; border-radius: 999px; color: var(--_muted); font-size: 13px; }
.older:hover:enabled { background: var(--_bubble); color: var(--_text); }
.welcome { margin: auto; padding: 24px; color: var(--_muted); text-align: center; }
.day, .unread-mark, .note { margin-block: 14px 10px; color: var(--_muted); font-size: 12.500px; text-align: center; }
.day { font-weight: 600; }
.note { margin-block: 8px; }
.unread-mark { display: flex; align-items: center; gap: 10px; color: var(--_danger); font-weight: 600; }
.unread-mark::before, .unread-mark::after { flex: 1; border-top: 1px solid currentColor; opacity: .45; content: ""; }
.message { display: flex; align-items: flex-end; gap: 8px; margin-top: 2px; }
.message.starts { margin-top: 12px; }
.body { display: flex; flex-direction: column; align-items: flex-start; min-width: 0; max-width: 82%; }
.own { justify-content: flex-end; }
.own > .body { align-items: flex-end; }
.avatar {
  display: grid; flex: none; place-items: center; width: 30px; height: 30px; margin-bottom: 20px; border-radius: 50%;
  background: var(--_bubble); color: var(--_muted); font-size: 13px; font-weight: 650; line-height: 1;
}
.message:not(.ends) > .avatar { margin-bottom: 0; align-self: flex-start; margin-top: 22px; }
.message.starts > .avatar { align-self: flex-start; margin-block: 22px 0; }
.avatar[data-role=agent] { background: var(--_accent); color: var(--_on-accent); }
.avatar.blank { height: 0; margin: 0; overflow: hidden; }
.author { display: flex; align-items: center; gap: 6px; max-width: 100%; padding-inline: 2px; margin-bottom: 3px; font-size: 12.500px; color: var(--_muted); }
.author bdi { overflow: hidden; font-weight: 600; text-overflow: ellipsis; white-space: nowrap; }
.line { position: relative; display: flex; align-items: center; max-width: 100%; }
.bubble {
  min-width: 0; padding: 8px 13px; border-radius: 18px; outline: 1px solid transparent; background: var(--_bubble); color: var(--_text);
}
.text { overflow-wrap: anywhere; white-space: pre-wrap; }
.other:not(.starts) .bubble { border-start-start-radius: 6px; }
.other:not(.ends) .bubble { border-end-start-radius: 6px; }
.own .bubble { background: var(--_own); color: var(--_on-own); }
.own:not(.starts) .bubble { border-start-end-radius: 6px; }
.own:not(.ends) .bubble { border-end-end-radius: 6px; }
.own.failed .bubble { background: var(--_danger-ground); color: var(--_text); box-shadow: inset 0 0 0 1px var(--_danger); }
.link { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
.link:focus-visible { outline-color: currentColor; border-radius: 2px; }
.meta { display: flex; align-items: center; flex-wrap: wrap; gap: 0 6px; padding-inline: 4px; margin-top: 2px; color: var(--_muted); font-size: 11.500px; line-height: 18px; }
.meta svg { width: 15px; height: 15px; stroke-width: 2; }
.status { display: inline-flex; align-items: center; gap: 3px; }
.status[data-status=seen] svg { color: var(--_accent); }
.actions { position: absolute; inset-inline-end: 100%; display: flex; opacity: 0; pointer-events: none; transition: opacity .1s; }
.actions .icon { width: 26px; height: 30px; border-radius: 8px; }
.actions svg { width: 16px; height: 16px; }
.row:hover .actions, .row:focus-within .actions, .touched .actions { opacity: 1; pointer-events: auto; }
.failure, .confirm { display: flex; flex-wrap: wrap; align-items: center; justify-content: flex-end; gap: 0 4px; padding-top: 3px; color: var(--_danger); font-size: 12.500px; }
.confirm { color: var(--_text); }
.confirm .danger { color: var(--_danger); }
.jump {
  position: absolute; bottom: 10px; inset-inline: 0; display: flex; align-items: center; gap: 6px; width: fit-content; min-height: 36px;
  min-width: 36px; justify-content: center; margin-inline: auto; padding: 6px 8px; border-radius: 999px; background: var(--_surface); color: var(--_text);
  box-shadow: var(--_shadow); font-size: 13px; font-weight: 600;
}
.jump svg { width: 18px; height: 18px; }
.jump:not(:has(svg:only-child)) { padding-inline: 14px 10px; }

@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation: none !important; transition: none !important; } .dots i { opacity: .7; } }
@media (forced-colors: active) { .bubble, .launcher, .panel, .role, .badge, .jump, .avatar { border: 1px solid; } .dot { forced-color-adjust: none; } }
`;
