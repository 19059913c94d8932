// What is promised here: another team installs the package, makes a project, adds a pipeline, sees its test pass without infrastructure
// and its first failure heal on the stack, in minutes and by the commands that the package itself says.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = join(import.meta.dirname, '..', '..');
const { MENDFLOW_DIR: _dir, DATABASE_URL: _url, TEMPORAL_ADDRESS: _address, ...environment } = process.env;
const env = { ...environment, MENDFLOW_CACHE: process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache') };

interface Ended {
  readonly code: number;
  readonly out: string;
}
const run = (command: string, args: readonly string[], cwd: string, timeoutMs: number): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(command, args, { cwd, env, timeout: timeoutMs, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, out: `${stdout}${stderr}` });
    });
  });

/** What a service sends in the end: a field more than the pipeline knows. */
const orders = Array.from({ length: 40 }, (_, id) => ({ id: `o-${id}`, cents: id, note: 'new' }));

let folder: string;
let project: string;
/** Why the package cannot be installed here; then the tests are skipped and say so. */
let unreachable: string | undefined;
let dev: ChildProcess | undefined;
let site: Server;
/** As `npx mendflow` runs it. */
const mendflow = (...args: string[]): Promise<Ended> =>
  run(join(project, 'node_modules', '.bin', 'mendflow'), args, project, 120_000);

/** Packed from a copy, which npm may write into. What is in dist/ was built for this run from the sources as they are. */
async function pack(): Promise<string> {
  const copy = join(folder, 'repository');
  mkdirSync(copy);
  for (const part of ['bin', 'dist', 'migrations', 'scripts', 'package.json', 'LICENSE'])
    cpSync(join(repository, part), join(copy, part), { recursive: true });
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json'], copy, 60_000);
  expect(packed.code, packed.out).toBe(0);
  const { version } = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')) as { version: string };
  return join(copy, `mendflow-${version}.tgz`);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mendflow-pack-'));
  project = join(folder, 'a project');
  mkdirSync(project);
  const tarball = await pack();
  await run('npm', ['init', '-y'], project, 60_000);
  const options = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  const installed = await run('npm', ['install', ...options, tarball], project, 400_000);
  if (/ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENOTCACHED|ETIMEDOUT/.test(installed.out))
    unreachable = installed.out.slice(0, 400);
  else expect(installed.code, installed.out).toBe(0);
  // As people read the answer: fails once, as services do, then answers.
  let calls = 0;
  site = createServer((request, response) => {
    if (request.url!.startsWith('/api/')) return void response.end(JSON.stringify(orders));
    response.writeHead(++calls === 1 ? 503 : 200, { connection: 'close' });
    response.end('[{"id":1},{"id":2},{"id":3}]');
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
}, 700_000);

afterAll(async () => {
  dev?.kill('SIGKILL');
  site?.close();
  if (folder === undefined) return;
  if (unreachable === undefined) await mendflow('stack', 'down');
  rmSync(folder, { recursive: true, force: true });
}, 120_000);

const until = async (text: () => string, wanted: RegExp, waitMs: number): Promise<void> => {
  for (const endMs = Date.now() + waitMs; Date.now() < endMs; await sleep(100)) if (wanted.test(text())) return;
  throw new Error(`${wanted} did not come within ${waitMs} ms: ${text()}`);
};

describe('the package, installed into an empty project', { timeout: 180_000 }, () => {
  it('makes a project whose tests pass without infrastructure, and adds a pipeline to it', async (context) => {
    if (unreachable !== undefined) context.skip(`the package's dependencies cannot be fetched here: ${unreachable}`);
    const made = await mendflow('init');
    expect(made.code, made.out).toBe(0);
    expect(made.out).toContain('Next:');
    expect(await mendflow('init')).toMatchObject({
      code: 0,
      out: expect.stringContaining('Nothing was written') as unknown,
    });
    const added = await mendflow('new', 'pipeline', 'web-items');
    expect(added.code, added.out).toBe(0);
    const http = await mendflow('new', 'pipeline', 'shop-orders', '--from', 'http');
    expect(http.code, http.out).toBe(0);
    // What README quotes fits where it is pasted.
    for (const file of ['src/activities/prices.ts', 'src/workflows/prices.ts', 'sql/prices.sql', 'sql/summary.sql'])
      cpSync(join(repository, 'examples', 'prices', file), join(project, file));
    // The developer tools that init wrote down are in the tree already, except TypeScript.
    const more = await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], project, 200_000);
    expect(more.code, more.out).toBe(0);
    expect(more.out).not.toContain('install-scripts');
    const tested = await run('npm', ['test'], project, 60_000);
    expect(tested.code, tested.out).toBe(0);
    expect(tested.out).toMatch(/# pass 4\n/);
    expect(tested.out).toMatch(/# fail 0\n/);
    const checked = await mendflow('check', '--json');
    expect(checked.code, checked.out).toBe(0);
    const { parts } = JSON.parse(checked.out) as { parts: { part: string; state: string }[] };
    expect(parts.map(({ part, state }) => `${part} ${state}`)).toEqual([
      'specs ok',
      'stages ok',
      'bundle ok',
      'types ok',
      'histories skipped',
    ]);
  });

  it('heals its first failure on the stack, loads a file, and replaces the worker when a file changes', async (context) => {
    if (unreachable !== undefined) context.skip(`the package's dependencies cannot be fetched here: ${unreachable}`);
    let said = '';
    const address = `http://127.0.0.1:${(site.address() as AddressInfo).port}/`;
    dev = spawn(process.execPath, [join(project, 'node_modules', 'mendflow', 'dist', 'client.js'), 'dev'], {
      cwd: project,
      env: { ...env, SHOP_ORDERS_API: `${address}api`, SHOP_ORDERS_TOKEN: 'of-the-shop' },
    });
    for (const stream of [dev.stdout!, dev.stderr!]) stream.on('data', (part: Buffer) => (said += part.toString()));
    await until(() => said, /Worker \d+ is up/, 120_000);
    // Its worker is this project's own, so nobody is told to kill it or to start another.
    const doctor = await mendflow('doctor');
    expect(doctor.out).toMatch(/`npx mendflow dev` \(process \d+\) runs the worker \d+/);
    expect(doctor.out).not.toMatch(/kill \d|→ mendflow stack up/);
    const healed = await mendflow('start', 'web-items', '--set', `url=${address}`, '--wait', '--json');
    expect(healed.code, healed.out).toBe(0);
    expect(healed.out).toContain('"state": "done"');
    const summary = JSON.parse(healed.out.slice(healed.out.indexOf('{'))) as {
      stages: { stage: string; attempts: number }[];
    };
    expect(summary.stages).toMatchObject([
      { stage: 'download', attempts: 2 },
      { stage: 'count', attempts: 1 },
    ]);
    expect(said).toMatch(/Attempt 1 of 8 failed.*HTTP 503.*Retrying/);
    const fetched = await mendflow('start', 'shop-orders', '--wait', '--json');
    expect(fetched.code, fetched.out).toBe(0);
    expect(JSON.parse(fetched.out.slice(fetched.out.indexOf('{')))).toMatchObject({ read: 40, loaded: 40 });
    const loaded = await mendflow('start', 'orders', '--wait', '--json');
    expect(loaded.code, loaded.out).toBe(0);
    expect(JSON.parse(loaded.out.slice(loaded.out.indexOf('{')))).toMatchObject({ read: 5, loaded: 4, quarantined: 1 });

    const file = join(project, 'src', 'activities', 'web-items.ts');
    const before = readFileSync(file, 'utf8');
    appendFileSync(file, 'this is no TypeScript\n');
    await until(() => said, /The new worker did not start; the one before goes on/, 60_000);
    expect(said).toContain('web-items.ts');
    writeFileSync(file, before);
    await until(() => said, /Files changed\. Worker \d+ is up/, 60_000);

    const ended = new Promise<number | null>((resolve) => dev!.once('close', resolve));
    dev.kill('SIGINT');
    expect(await ended).toBe(0);
    dev = undefined;
    for (const next of ['mendflow runs', 'mendflow dev', 'mendflow stack down'])
      expect(said.slice(-600)).toContain(next);
    expect(said).toMatch(/The worker has ended; the stack stays up/);
    expect((await mendflow('stack', 'down')).out).toContain('Ended 2 processes');
  });
});
