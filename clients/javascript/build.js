// Builds what a gateway serves, /client.js and /widget.js; with --check, says whether the files that are there are what
// would be built.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { build, transform } from 'esbuild';

const SERVED = { 'client.js': 'src/served.js', 'widget.js': 'widget/served.js' };

/** Takes the white space out of style sheets that are texts. @type {import('esbuild').Plugin} */
const sheets = {
  name: 'sheets',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]styles\.js$/ }, async ({ path }) => {
      const { STYLES } = await import(path);
      const { code } = await transform(STYLES, { loader: 'css', minify: true, target: 'es2022' });
      return { contents: `export const STYLES = ${JSON.stringify(code.trim())};` };
    });
  },
};

/** @param {string} name @param {string} entry */
async function built(name, entry) {
  const { outputFiles } = await build({
    absWorkingDir: fileURLToPath(new URL('.', import.meta.url)),
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    plugins: [sheets],
    banner: { js: `// Goch's ${name} for browsers, built from clients/javascript by \`make client\`: change it there.` },
    write: false,
  });
  return outputFiles[0]?.text ?? '';
}

for (const [file, entry] of Object.entries(SERVED)) {
  const path = new URL(`../../services/gateway/web/${file}`, import.meta.url);
  const text = await built(file.replace('.js', ''), entry);
  if (!process.argv.includes('--check')) {
    await writeFile(path, text);
  } else if (text !== await readFile(path, 'utf8').catch(() => '')) {
    console.error(`services/gateway/web/${file} is not what clients/javascript makes of it: make client`);
    process.exitCode = 1;
  }
}
