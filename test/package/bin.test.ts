// What is promised here: `npx mendflow` in a checkout works after the build, whatever was called before it, and says before it which command builds.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/commands/support/exit-codes.ts';

const repository = join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'mendflow-bin-'));
const checkout = join(folder, 'a checkout');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (command: string, args: readonly string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    // A cache of its own: npx keeps links of what it ran before.
    const env = { PATH: process.env['PATH'] ?? '', HOME: folder, npm_config_cache: join(folder, 'cache') };
    execFile(command, args, { cwd: checkout, env, timeout: 60_000 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err });
    });
  });

const own = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
  version: string;
  bin: { mendflow: string };
};

describe('npx mendflow in a checkout', () => {
  it('says how to build while nothing is built, and runs what is built then', async () => {
    mkdirSync(checkout);
    cpSync(join(repository, 'bin'), join(checkout, 'bin'), { recursive: true });
    // No dependencies: whether npx finds the command must not need a registry.
    const { version, bin } = own;
    writeFileSync(join(checkout, 'package.json'), JSON.stringify({ name: 'mendflow', version, bin, type: 'module' }));
    const early = await run('npx', ['--yes', '--offline', 'mendflow', 'runs']);
    expect(early).toMatchObject({ code: exitCodes.usage.number, out: '' });
    expect(early.err).toContain('Build it with `npm run build`.\n');

    // Mode 644, as a compiler leaves it.
    mkdirSync(join(checkout, 'dist'));
    writeFileSync(join(checkout, 'dist', 'client.js'), 'console.log(process.argv.slice(2).join());', { mode: 0o644 });
    expect(await run('npx', ['--yes', '--offline', 'mendflow', 'runs', '--json'])).toMatchObject({
      code: 0,
      out: 'runs,--json\n',
    });
  });

  it('is a file that anybody may run', () => {
    expect(statSync(join(repository, own.bin.mendflow)).mode & 0o111).toBe(0o111);
  });
});
