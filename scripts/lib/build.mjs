// What lives here: building dist/ when, and only when, something it is made of has changed.
// Invariant: the stamp is written after a whole build and names the content it was made from, so a broken or half build is built again.
// Apart because times of files lie after a checkout; contents do not.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { SetupError, npm } from './command.mjs';

const filesBelow = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();

const contentHash = (root) => {
  const parts = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/bundle.mjs'];
  const files = [...parts.map((name) => join(root, name)).filter(existsSync), ...filesBelow(join(root, 'src'))];
  const hash = createHash('sha256').update(process.versions.node.split('.')[0]);
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`\0${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
};

export const build = async ({ root, say, underLock }) => {
  const stamp = join(root, 'dist', '.built');
  const fresh = (hash) => existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
  if (fresh(contentHash(root))) return;
  await underLock(async () => {
    const hash = contentHash(root);
    if (fresh(hash)) return;
    say('building.');
    try {
      mkdirSync(join(root, 'dist'), { recursive: true });
      rmSync(stamp, { force: true });
    } catch (error) {
      throw new SetupError(
        `The folder ${join(root, 'dist')} cannot be written (${error.code}): change its owner and try again.`,
      );
    }
    const done = await npm(['run', '--silent', 'build'], { cwd: root, timeoutMs: 600_000 });
    if (done.code !== 0)
      throw new SetupError(`The build ended with code ${done.code}: correct what it names and try again.`, done.output);
    writeFileSync(stamp, hash);
  });
};
