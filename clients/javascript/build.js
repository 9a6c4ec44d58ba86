// Builds what a gateway serves as /client.js; with --check, says whether the file that is there is what would be built.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const SERVED = new URL('../../services/gateway/web/client.js', import.meta.url);

const { outputFiles } = await build({
  absWorkingDir: fileURLToPath(new URL('.', import.meta.url)),
  entryPoints: ['src/served.js'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  banner: { js: '// Goch\'s client for browsers, built from clients/javascript by `make client`: change it there.' },
  write: false,
});
const text = outputFiles[0]?.text ?? '';
if (!process.argv.includes('--check')) {
  await writeFile(SERVED, text);
} else if (text !== await readFile(SERVED, 'utf8')) {
  console.error('services/gateway/web/client.js is not what clients/javascript makes of it: make client');
  process.exitCode = 1;
}
