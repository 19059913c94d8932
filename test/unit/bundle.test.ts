// What is promised here: what runs in Temporal's sandbox is our code and the five packages on the list; anything else stops the build by name.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');
let folder: string;
const pipelineFile = (): string => join(folder, 'dist', 'workflows', 'log-ingest.js');

const run = (...args: readonly string[]) =>
  spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: 200_000 });
const bundle = () => run(join(folder, 'scripts', 'bundle.mjs'));

/** In a copy, which is spoilt on purpose; the set-up builds dist/ anew where the sources have changed. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mendflow-bundle-'));
  mkdirSync(join(folder, 'scripts'));
  for (const file of ['package.json', 'scripts/bundle.mjs']) copyFileSync(join(repository, file), join(folder, file));
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const built = run(join(repository, 'scripts', 'setup.mjs'));
  expect(built.status, built.stdout + built.stderr).toBe(0);
  cpSync(join(repository, 'dist'), join(folder, 'dist'), { recursive: true });
  copyFileSync(pipelineFile(), `${pipelineFile()}.before`);
}, 240_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const allowList = (): string[] => {
  const [, list] = /const allowed = \[([^\]]*)\]/.exec(
    readFileSync(join(repository, 'scripts', 'bundle.mjs'), 'utf8'),
  )!;
  return [...list!.matchAll(/'([^']+)'/g)].map(([, name]) => name!).toSorted();
};

/** As the bundler's own source map names them; found here by other means than the script's. */
const packagesOf = (code: string): string[] => {
  const { sources } = JSON.parse(Buffer.from(code.split('base64,').at(-1)!, 'base64').toString('utf8')) as {
    sources: string[];
  };
  const names = sources.flatMap((source) => {
    const parts = source.split('/');
    const at = parts.lastIndexOf('node_modules');
    if (at < 0) return [];
    return [parts[at + 1]!.startsWith('@') ? parts.slice(at + 1, at + 3).join('/') : parts[at + 1]!];
  });
  return [...new Set(names)].toSorted();
};

describe('the workflow bundle', () => {
  it('holds exactly the packages of the allow-list', () => {
    const built = bundle();
    expect(built.status, built.stderr).toBe(0);
    expect(allowList()).toEqual(['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc']);
    expect(packagesOf(readFileSync(join(folder, 'dist', 'workflow-bundle.js'), 'utf8'))).toEqual(allowList());
  });

  it.each([
    [
      'pg',
      'a driver, which needs Node',
      /packages that cannot run in Temporal's sandbox: pg \(imported by dist\/workflows\/log-ingest\.js\)/,
    ],
    [
      'zod',
      'a library without any need of Node',
      /not on its list: zod \(imported by dist\/workflows\/log-ingest\.js\)/,
    ],
    ['node:fs', 'a part of Node', /cannot be bundled for Temporal's sandbox:.*\n?.*node:fs/],
    ['../activities/log-ingest.js', 'the code of an activity', /packages that cannot run in Temporal's sandbox: pg/],
  ])('is refused with %s in it: %s', (name, _what, why) => {
    copyFileSync(`${pipelineFile()}.before`, pipelineFile());
    appendFileSync(pipelineFile(), `\nimport * as planted from '${name}';\nglobalThis.planted = planted;\n`);
    rmSync(join(folder, 'dist', 'workflow-bundle.js'), { force: true });
    const { status, stderr } = bundle();
    expect(status).toBe(1);
    expect(stderr).toMatch(why);
    expect(stderr).toContain('Nothing was bundled. Import types only, or move the code to an activity.');
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
