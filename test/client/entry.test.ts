// What is promised here: the process `mendflow` ends with the documented number, in silence when nobody reads on, and without a stack trace.
import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/commands/support/exit-codes.ts';
import { openTerminal } from '../../src/commands/support/terminal.ts';
import { outcomes } from '../support/engine.ts';
import { type Client, openClient, projectFolder } from '../support/client.ts';

const entry = join(import.meta.dirname, '..', '..', 'dist', 'client.js');
const dir = mkdtempSync(join(tmpdir(), 'mendflow-entry-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The bare environment: nothing but what is given points anywhere. */
const environment = (more: Record<string, string> = {}): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  MENDFLOW_DIR: dir,
  ...more,
});
const mendflow = (argv: readonly string[], env: Record<string, string> = {}): ChildProcess =>
  spawn(process.execPath, [entry, ...argv], {
    cwd: projectFolder,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });

async function ended(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  let [out, err] = ['', ''];
  child.stdout!.on('data', (part: Buffer) => (out += part.toString()));
  child.stderr!.on('data', (part: Buffer) => (err += part.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
}

describe('the process', () => {
  it('shows its commands when it is called alone, and asks for nothing', async () => {
    const { code, out, err } = await ended(mendflow([]));
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const word of [
      'Runs:',
      'Decisions:',
      'Pipelines:',
      'Project:',
      'Stack:',
      'start',
      'accept-loss',
      'doctor',
      'mendflow help exit-codes',
    ])
      expect(out).toContain(word);
  });

  it('prints the exit codes from the table it ends by', async () => {
    const { code, out } = await ended(mendflow(['help', 'exit-codes']));
    expect(code).toBe(0);
    for (const [name, { number, says }] of Object.entries(exitCodes))
      expect(out).toMatch(new RegExp(`^${number}\\s+${name}\\s+${says.slice(0, 20)}`, 'm'));
    expect(new Set(Object.values(exitCodes).map(({ number }) => number)).size).toBe(Object.keys(exitCodes).length);
  });

  it('ends with 2 for a wrong word, an invalid setting and a missing stack, each with the next command', async () => {
    const wrong = await ended(mendflow(['frobnicate']));
    expect(wrong).toMatchObject({
      code: 2,
      err: expect.stringMatching(/unknown command 'frobnicate'\nNothing was changed\. See `mendflow help`/) as string,
    });
    const setting = await ended(mendflow(['runs'], { MENDFLOW_SLOTS: 'many', MENDFLOW_PREFIX: 'A b' }));
    expect(setting).toMatchObject({
      code: 2,
      err: expect.stringMatching(/MENDFLOW_PREFIX .*\n.*MENDFLOW_SLOTS/) as string,
    });
    const none = await ended(mendflow(['runs']));
    expect(none).toMatchObject({
      code: 2,
      err: expect.stringMatching(/No database is configured .* `mendflow stack up`/) as string,
    });
    expect(none.err).not.toMatch(/\n\s+at /);
  });

  it('says what makes a project load whose package.json does not say that it has modules, wherever it is loaded', async () => {
    const project = mkdtempSync(join(tmpdir(), "mendflow it's "));
    try {
      mkdirSync(join(project, 'node_modules'));
      symlinkSync(join(import.meta.dirname, '..', '..'), join(project, 'node_modules', 'mendflow'));
      writeFileSync(
        join(project, 'mendflow.config.ts'),
        "import { project } from 'mendflow/worker';\nexport default project({ formats: {} });\n",
      );
      const at: SpawnOptions = { cwd: project, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] };
      const ran = (file: string, ...argv: string[]) => ended(spawn(process.execPath, [file, ...argv], at));
      const cd = `cd '${project.replaceAll("'", "'\\''")}' && `;
      const says = `so Node takes ${project}/mendflow.config.ts for CommonJS, which cannot load Mendflow. Nothing was started. Say it: ${cd}`;
      const cure = 'npm pkg set type=module';
      expect(await ran(entry, 'pipelines')).toMatchObject({
        code: 2,
        err: `There is no package.json, ${says}npm init -y && ${cure}\n`,
      });
      writeFileSync(join(project, 'package.json'), '{}');
      const worker = join(entry, '..', 'worker.js');
      const loading: readonly (readonly [string, ...string[]])[] = [
        [entry, 'check', '--no-histories'],
        [entry, 'doctor'],
        [worker],
      ];
      for (const argv of loading) {
        const { code, out, err } = await ran(...argv);
        expect(code).toBeGreaterThan(0);
        expect(out + err).toContain(says + cure);
        if (argv[1] === 'doctor') expect(out).toContain(`→ ${cd}${cure}\n`);
      }
      // As it says.
      expect(spawnSync('npm', cure.split(' ').slice(1), { cwd: project }).status).toBe(0);
      expect((await ran(entry, 'pipelines')).code).toBe(0);
    } finally {
      rmSync(project, { recursive: true });
    }
  });

  it('shows a stack trace to who asks for it', async () => {
    expect((await ended(mendflow(['runs'], { MENDFLOW_LOG: 'debug' }))).err).toMatch(/\n\s+at /);
  });
});

describe('with runs', () => {
  let client: Client;
  beforeAll(async () => {
    client = await openClient();
    await client.engine.startWorker('./test/client/project/pipelines.ts');
    client.engine.script('fetch', outcomes('http_503', 'fine'));
    // Wide enough to fill any pipe.
    await client.engine.rows(
      `insert into mendflow.run (key, pipeline, data_date, scope, state) select 'wide/' || n, 'wide', n::text, repeat('x', 60), 'done' from generate_series(1, 9000) n`,
    );
  });
  afterAll(() => client?.close());

  it('ends in silence when its reader has seen enough', async () => {
    const child = mendflow(['runs', '--limit', '9000'], { ...client.env });
    const head = new Promise<string>((resolve) =>
      child.stdout!.once('data', (part: Buffer) => resolve(part.toString())),
    );
    let err = '';
    child.stderr!.on('data', (part: Buffer) => (err += part.toString()));
    expect(await head).toMatch(/^RUN/);
    child.stdout!.destroy();
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect({ code, err: err.replace(/^Only the latest.*\n$/, '') }).toEqual({ code: 0, err: '' });
  });

  it('tells stages as they change while it waits, as plain lines where no terminal is', async () => {
    const { code, out, err } = await ended(
      mendflow(['start', 'copy', '--date', '2026-06-01', '--set', 'path=a', '--set', 'format=plain', '--wait'], {
        ...client.env,
      }),
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^Started copy\/2026-06-01\/a\.\n/);
    expect(out).toMatch(/\n {2}fetch\s+done\s+2 attempts/);
    expect(out).toMatch(/copy\/2026-06-01\/a is done\.\n {2}read 0 = loaded 0/);
    expect(out).not.toContain('\u001b');
  });

  it('stops waiting at Ctrl-C with a number of its own, and the run goes on', async () => {
    client.engine.script('fetch', () => new Promise((resolve) => setTimeout(() => resolve('fine'), 4_000)));
    const child = mendflow(
      ['start', 'copy', '--date', '2026-06-02', '--set', 'path=a', '--set', 'format=plain', '--wait'],
      { ...client.env },
    );
    child.stdout!.once('data', () => setTimeout(() => child.kill('SIGINT'), 500));
    const { code, err } = await ended(child);
    expect({ code, err }).toEqual({
      code: 130,
      err: 'No longer waiting. copy/2026-06-02/a goes on by itself. The same command attaches to it again; `mendflow show copy/2026-06-02/a` says how far it is, `mendflow abort copy/2026-06-02/a --reason "…"` ends it.\n',
    });
    await expect
      .poll(async () => (await client.mendflow('show', 'copy/2026-06-02', '--json')).json()['state'], {
        timeout: 15_000,
      })
      .toBe('done');
  });
});

describe('a terminal', () => {
  it('is coloured only where it can be, and redrawn in place', () => {
    const written: string[] = [];
    const write = (text: string): void => void written.push(text);
    expect(openTerminal({ write, isTTY: true, hasColors: () => true }, { write }).style('red', 'x')).toBe(
      '\u001b[31mx\u001b[39m',
    );
    expect(openTerminal({ write, isTTY: true, hasColors: () => false }, { write }).style('red', 'x')).toBe('x');
    expect(openTerminal({ write }, { write }).style('red', 'x')).toBe('x');
    const live = openTerminal({ write, isTTY: true, columns: 10, hasColors: () => false }, { write });
    live.redraw(['one', 'two']);
    live.redraw(['a line too long for it']);
    expect(written).toEqual(['\u001b[2Kone\n\u001b[2Ktwo\n\u001b[J', '\u001b[2A\u001b[2Ka line t…\n\u001b[J']);
  });
});
