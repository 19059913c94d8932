// What is promised here: a run is started once, whoever asks and however often; what is wrong is said at once and by name.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { stage } from '../../src/engine/worker.ts';
import { CodedError } from '../../src/model/failure.ts';
import { outcomes } from '../support/engine.ts';
import { type Client, openClient } from '../support/client.ts';

let client: Client;
beforeAll(async () => {
  client = await openClient();
  await client.engine.startWorker('./test/client/project/pipelines.ts');
});
afterAll(() => client?.close());
beforeEach(() => {
  client.engine.script('fetch', outcomes('fine'));
  client.engine.script('load', outcomes('fine'));
});

const untilCancelled = (): Promise<never> => {
  const { signal } = stage();
  return new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
  );
};

let day = 0;
const date = (): string => `2026-03-${String(++day).padStart(2, '0')}`;
const inputs = ['--set', 'path=/data/a.log', '--set', 'format=plain'];

describe('start', () => {
  it('waits for the run and prints its summary', async () => {
    const on = date();
    const ran = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait', '--json');
    expect(ran.err).toBe('');
    expect(ran.code).toBe(0);
    const summary = ran.json();
    expect(Object.keys(summary)).toEqual([
      'run',
      'state',
      'read',
      'loaded',
      'duplicate',
      'quarantined',
      'skipped',
      'stages',
      'links',
      'generation',
      'notes',
    ]);
    expect(summary).toMatchObject({
      run: `copy/${on}/a.log-${String(summary['run']).slice(-8)}`,
      state: 'done',
      read: 0,
      loaded: 0,
      generation: 1,
    });
    expect(summary['stages']).toEqual([
      { stage: 'fetch', state: 'done', attempts: 1, seconds: expect.any(Number) as number },
      { stage: 'load', state: 'done', attempts: 1, seconds: expect.any(Number) as number },
    ]);
  });

  it('makes one run of ten starts at once', async () => {
    const on = date();
    let release = (): void => undefined;
    const held = new Promise<string>((resolve) => (release = () => resolve('fine')));
    client.engine.script('fetch', () => held);
    const all = await Promise.all(
      Array.from({ length: 10 }, () => client.mendflow('start', 'copy', '--date', on, ...inputs, '--json')),
    );
    expect(all.map(({ code }) => code)).toEqual(Array(10).fill(0));
    expect(all.filter((ran) => ran.json()['how'] === 'started')).toHaveLength(1);
    expect(all.filter((ran) => ran.json()['how'] === 'attached')).toHaveLength(9);
    const before = client.engine.calls.filter((stage) => stage === 'load').length;
    release();
    const end = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait', '--json');
    expect(end.json()).toMatchObject({ generation: 1 });
    expect(client.engine.calls.filter((stage) => stage === 'load').length - before).toBe(1);
  });

  it('refuses other inputs on a run that is under way, and names them', async () => {
    const on = date();
    client.engine.script('fetch', outcomes('http_401'));
    await client.mendflow('start', 'copy', '--date', on, ...inputs);
    const ran = await client.mendflow(
      'start',
      'copy',
      '--date',
      on,
      '--set',
      'path=/data/a.log',
      '--set',
      'format=apache',
      '--set',
      'limit=5',
    );
    expect(ran.code).toBe(4);
    expect(ran.err).toMatch(
      /is under way with other inputs: format is "plain" there and "apache" here; limit is 10 there and 5 here\. Nothing was started/,
    );
    expect(ran.err).toMatch(/mendflow show copy/);
  });

  it('says to whoever starts it again without --wait what it asks, with the command that answers', async () => {
    const on = date();
    client.engine.script('fetch', outcomes('http_401'));
    expect((await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait')).code).toBe(3);
    const again = await client.mendflow('start', 'copy', '--date', on, ...inputs);
    expect(again.code).toBe(0);
    expect(again.out).toMatch(
      /It asks, and waits for one of these commands:\n\nfetch: .* \(http_401\)\n {2}mendflow retry/,
    );
    const json = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--json');
    expect(json.json()).toMatchObject({ how: 'attached', asks: [{ stage: 'fetch', code: 'http_401' }] });
    await client.engine.client.workflowService.pauseWorkflowExecution({
      namespace: 'default',
      workflowId: String(json.json()['workflowId']),
      identity: 'test',
      reason: 'test',
      requestId: on,
    });
    const paused = await client.mendflow('start', 'copy', '--date', on, ...inputs);
    expect(paused.err).toMatch(/It is paused, .*`temporal workflow unpause --workflow-id /);
  });

  it('says that a run waits by itself, and until when', async () => {
    const on = date();
    client.engine.script('fetch', () => {
      throw new CodedError('http_429', 'Later.', { nextDelayMs: 3_600_000 });
    });
    const started = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--json');
    await client.engine.parked('fetch', String(started.json()['run']));
    const again = await client.mendflow('start', 'copy', '--date', on, ...inputs);
    expect(again.out).toMatch(/fetch waits for a time since .*, after 1 attempt: http_429; next try by itself at /);
    expect(again.out).not.toContain('It asks');
  });

  it.each([[[]], [['--json']]])('warns of a data date in the future, and how to end such a run (%j)', async (more) => {
    const ran = await client.mendflow('start', 'copy', '--date', `2999-01-0${more.length + 1}`, ...inputs, ...more);
    expect(ran.code).toBe(0);
    expect(ran.err).toMatch(/^Warning: data date 2999-01-0\d lies in the future\..* mendflow abort copy\/2999-/);
    expect(ran.err).not.toContain('is not over yet');
  });

  it('says that a finished run is finished, changes nothing, and processes it again with --force', async () => {
    const on = date();
    await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait');
    const calls = client.engine.calls.length;
    const again = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait');
    expect(again.code).toBe(0);
    expect(again.out).toMatch(
      /is done already: 0 loaded, 0 quarantined \(generation 1\)\. Nothing was changed\. --force processes it again/,
    );
    expect((await client.mendflow('start', 'copy', '--date', on, ...inputs, '--json')).json()).toMatchObject({
      state: 'already-done',
      generation: 1,
    });
    const other = await client.mendflow(
      'start',
      'copy',
      '--date',
      on,
      '--set',
      'path=/data/a.log',
      '--set',
      'format=apache',
    );
    expect(other.code).toBe(4);
    expect(other.err).toMatch(/is done already with other inputs: format is "plain" there and "apache" here/);
    expect(client.engine.calls.length).toBe(calls);
    const forced = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--force', '--wait', '--json');
    expect(forced.json()).toMatchObject({ state: 'done', generation: 2 });
    expect(client.engine.calls.length).toBe(calls + 2);
  });

  it('comes back with a code of its own when the run asks, with the question and its commands', async () => {
    const on = date();
    client.engine.script('fetch', outcomes('http_401'));
    const ran = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait', '--json');
    expect(ran.code).toBe(3);
    const { state, asks } = ran.json<{
      state: string;
      asks: { stage: string; token: string; code: string; commands: string[] }[];
    }>();
    expect(state).toBe('asking');
    expect(asks).toMatchObject([{ stage: 'fetch', code: 'http_401' }]);
    expect(asks[0]!.commands).toHaveLength(2);
    expect(asks[0]!.commands[0]).toMatch(
      new RegExp(`^mendflow retry copy/${on}/\\S+ fetch --token ${asks[0]!.token} --reason`),
    );
  });

  it('says of a mistake in the code what gives workers the corrected one', async () => {
    const on = date();
    client.engine.script('fetch', outcomes('code_bug'));
    const asked = await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait');
    const shown = await client.mendflow('show', `copy/${on}`);
    for (const { out } of [asked, shown])
      expect(out).toMatch(
        /\n {2}Workers that run keep the code .* `mendflow stack up` replaces them, since files of the project changed .*; then retry\./,
      );
  });

  it('ends with 1 when the run fails and with 7 when it is aborted', async () => {
    client.engine.script('fetch', outcomes('http_401'));
    const failed = await client.mendflow('start', 'loud', '--date', date(), '--wait');
    expect(failed.code).toBe(1);
    expect(failed.out).toMatch(/failed: Stage fetch failed: http_401 from the script/);
    const on = date();
    await client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait');
    const aborting = client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait', '--json');
    expect((await aborting).code).toBe(3);
    client.engine.script('fetch', untilCancelled);
    await client.mendflow('retry', `copy/${on}`, '--reason', 'credential renewed');
    const end = client.mendflow('start', 'copy', '--date', on, ...inputs, '--wait', '--json');
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect((await client.mendflow('abort', `copy/${on}`, '--reason', 'not needed')).code).toBe(0);
    expect((await end).code).toBe(7);
  });

  it('names every wrong or missing input at once, with its help', async () => {
    const ran = await client.mendflow(
      'start',
      'copy',
      '--set',
      'format=xml',
      '--set',
      'limit=many',
      '--set',
      'colour=red',
    );
    expect(ran.code).toBe(2);
    expect(ran.err).toMatch(/There is no input "colour"; there is "path", "format", "limit"/);
    expect(ran.err).toMatch(/Input "path" is missing: file or folder to read/);
    expect(ran.err).toMatch(/Input "format" is "xml", and has to be line format: plain or apache/);
    expect(ran.err).toMatch(/Input "limit" is "many", and has to be lines at most \(a number\)/);
    expect(ran.err).toMatch(/nothing was started/);
  });

  it('refuses a date that is none and a pipeline that is none', async () => {
    const wrong = await client.mendflow('start', 'copy', '--date', '2026-02-30', ...inputs);
    expect(wrong).toMatchObject({
      code: 2,
      err: '--date "2026-02-30" is no day; write it as 2026-11-21. Nothing was started.\n',
    });
    const none = await client.mendflow('start', 'cpy', ...inputs);
    expect(none.code).toBe(6);
    expect(none.err).toMatch(/no pipeline "cpy"\. It has: copy, loud/);
  });
});
