// What is promised here: an operator's decision is taken once or refused with a reason, and every ending has a code of its own.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { outcomes, throwCode } from '../support/engine.ts';
import { type Client, openClient, type Ran } from '../support/client.ts';

let client: Client;
let worker: { stop(): Promise<void> };
const startWorker = async (): Promise<void> =>
  void (worker = await client.engine.startWorker('./test/client/project/pipelines.ts'));
beforeAll(async () => {
  client = await openClient();
  await startWorker();
});
afterAll(() => client?.close());
beforeEach(() => {
  client.engine.script('fetch', outcomes('fine'));
  client.engine.script('load', outcomes('fine'));
});

let day = 0;
/** A run whose stage asks once and then does well. Returns its key and the token. */
async function asking(
  stage: 'fetch' | 'load' = 'fetch',
): Promise<{ run: string; token: string; end: () => Promise<Ran> }> {
  const date = `2026-04-${String(++day).padStart(2, '0')}`;
  const failing = { on: true };
  client.engine.script(stage, () => (failing.on ? ((failing.on = false), throwCode('http_401')) : 'fine'));
  const start = ['start', 'copy', '--date', date, '--set', 'path=a', '--set', 'format=plain', '--wait', '--json'];
  const ran = await client.mendflow(...start);
  expect(ran.code).toBe(3);
  const { run, asks } = ran.json<{ run: string; asks: { token: string }[] }>();
  return { run, token: asks[0]!.token, end: () => client.mendflow(...start) };
}

const decisions = (
  run: string,
): Promise<{ kind: string; actor: string; reason: string; taken: boolean; text: string }[]> =>
  client.engine.rows('select kind, actor, reason, taken, text from mendflow.decision where run_key = $1 order by id', [
    run,
  ]);

describe('a decision from the command line', () => {
  it('finds the question by itself, is taken, and is kept with who and why', async () => {
    const { run, end } = await asking();
    const ran = await client.mendflow('retry', run, '--reason', 'credential renewed');
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/^Taken: fetch is tried again now/);
    expect((await end()).json()).toMatchObject({ state: expect.stringMatching(/done/) as string });
    expect(await decisions(run)).toMatchObject([
      { kind: 'retry', actor: 'anna', reason: 'credential renewed', taken: true },
    ]);
  });

  it('stands in logs behind the question it answers, also when all is over', async () => {
    const { run, end } = await asking();
    const codes = ['http_403'];
    client.engine.script('fetch', () => {
      const code = codes.shift();
      return code === undefined ? 'fine' : throwCode(code);
    });
    const logs = async (): Promise<string> => (await client.mendflow('logs', run)).out;
    for (const code of ['http_401', 'http_403']) {
      await expect.poll(logs, { timeout: 20_000 }).toContain(`asks: ${code}`);
      expect((await client.mendflow('retry', run, '--reason', 'renewed')).code).toBe(0);
    }
    expect((await end()).code).toBe(0);
    const out = await logs();
    expect(out.match(/Z {2}(\w+)/g)!.map((word) => word.slice(3))).toEqual(
      'opened attempt park decision attempt park decision closed'.split(' '),
    );
    const asked =
      /park +fetch {2}asked until \S+ \S+Z: (http_\d+) after \d attempts?(, .* after the first failure)?, token \S+\n/g;
    expect([...out.matchAll(asked)].map(([, code]) => code)).toEqual(['http_401', 'http_403']);
    const parks = async (...more: string[]): Promise<{ at: string; endedAt: string }[]> =>
      (await client.mendflow('logs', run, '--json', ...more))
        .json<{ entries: { what: string; at: string; endedAt: string }[] }>()
        .entries.filter(({ what }) => what === 'park');
    const [first, second] = await parks();
    expect(Date.parse(first!.endedAt)).toBeGreaterThanOrEqual(Date.parse(first!.at));
    expect(await parks('--limit', '1')).toEqual([second]);
  });

  it('takes what a stage waited for it as no work of that stage', async () => {
    const { run, token, end } = await asking();
    // In the order in which the run itself takes these locks; a look of it in between sets right since when it waits.
    const longAgo = `select from mendflow.run where key = '${run}' for update;
      update mendflow.parked_run set since = now() - interval '9 hours 10 minutes' where run_key = '${run}';
      update mendflow.stage_run set first_at = now() - interval '9 hours 10 minutes', ended_at = now() - interval '9 hours 10 minutes' where run_key = '${run}' and stage = 'fetch'`;
    const time = /fetch +\w+ +\d +\d+(\.\d)? m?s, waited 9 h 10 min for a decision /;
    const shown = async (): Promise<string> => (await client.mendflow('show', run)).out;
    await expect
      .poll(async () => (await client.engine.rows(longAgo), await shown()), { timeout: 20_000 })
      .toMatch(time);
    // As the next attempt does.
    await client.engine.rows(
      `${longAgo}; select mendflow.end_park(key, generation, workflow_run, 'fetch', '${token}') from mendflow.run where key = '${run}'`,
    );
    await client.mendflow('retry', run, 'fetch', '--token', token, '--reason', 'in the morning');
    const [fetch] = (await end()).json<{ stages: Record<string, number>[] }>().stages;
    expect(fetch!['seconds']).toBeLessThan(600);
    expect(fetch!['askedSeconds']).toBeGreaterThan(32_000);
    expect(await shown()).toMatch(time);
  });

  it('is answered as taken already, and when, when it is repeated with its token, and applied once', async () => {
    const { run, token, end } = await asking('load');
    let loads = (): void => undefined;
    client.engine.script('load', () => new Promise((resolve) => (loads = () => resolve('fine'))));
    const first = await client.mendflow('retry', run, 'load', '--token', token, '--reason', 'again');
    const second = await client.mendflow('retry', run, 'load', '--token', token, '--reason', 'again');
    expect(second.code).toBe(0);
    expect(second.out).toMatch(/^Already taken at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*: load is tried again now/);
    expect(second.out.split(': ').slice(-1)).toEqual(first.out.split(': ').slice(-1));
    const other = await client.mendflow('extend-budget', run, '--token', token, '--attempts', '2', '--reason', 'more');
    expect(other.code).toBe(4);
    expect(other.err).toMatch(/^Refused: This question was decided already: retry by anna at \d{4}-[^ ]+Z\. load is/);
    loads();
    await end();
    expect((await decisions(run)).filter(({ taken }) => taken)).toHaveLength(1);
  });

  it('is refused with the reason and a code of its own, and the refusal is kept', async () => {
    const { run, token, end } = await asking();
    const skip = await client.mendflow('skip', run, '--reason', 'not needed');
    expect(skip.code).toBe(4);
    expect(skip.err).toMatch(/^Refused: Stage fetch cannot be skipped: its policy declares no onSkip output/);
    expect(skip.err).toMatch(/Nothing was changed\. See `mendflow show/);
    expect((await client.mendflow('retry', run, 'load', '--reason', 'x')).err).toMatch(/No stage "load" is parked/);
    expect((await client.mendflow('retry', run, '--token', 'old-1', '--reason', 'x', '--json')).json()).toMatchObject({
      taken: false,
    });
    expect(await decisions(run)).toMatchObject([
      {
        kind: 'skip',
        actor: 'anna',
        reason: 'not needed',
        taken: false,
        text: skip.err.split('\n')[0]!.slice('Refused: '.length),
      },
      { kind: 'retry', taken: false },
      { kind: 'retry', taken: false },
    ]);
    expect((await client.mendflow('retry', run, '--token', token, '--reason', 'x')).code).toBe(0);
    await end();
  });

  it('skips where the pipeline allows it, and the stage is no question any more', async () => {
    const { run, end } = await asking('load');
    expect((await client.mendflow('skip', run, '--reason', 'not needed today')).code).toBe(0);
    expect((await end()).code).toBe(0);
    // The ledger may close a moment before the row of the decision is written.
    await expect
      .poll(async () => (await client.mendflow('show', run, '--json')).json())
      .toMatchObject({
        state: 'done',
        stages: [{ stage: 'fetch' }, { stage: 'load', state: 'skipped' }],
        waits: [],
        notes: [
          expect.stringMatching(
            /^anna skipped load, so what it would have loaded is not there .*: mendflow start copy --date \S+ --set .*path=\S+.* --force$/,
          ),
        ],
      });
  });

  it('needs a reason, and something to add to a budget, before anything is sent', async () => {
    const { run, end } = await asking();
    expect(await client.mendflow('retry', run)).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--reason/) as string,
    });
    expect((await client.mendflow('retry', run, '--reason', ' ')).code).toBe(2);
    expect((await client.mendflow('extend-budget', run, '--reason', 'x')).err).toMatch(
      /--attempts 4, --time "10 minutes", or both/,
    );
    const both = await client.mendflow('extend-budget', run, '--reason', 'x', '--attempts', '0', '--time', 'soon');
    expect(both.code).toBe(2);
    expect(both.err).toMatch(/--attempts has to be .* "0"\.\n--time has to be .* "soon"/);
    expect(await decisions(run)).toEqual([]);
    const extended = await client.mendflow(
      'extend-budget',
      run,
      '--reason',
      'x',
      '--attempts',
      '2',
      '--time',
      '10 minutes',
    );
    expect(extended).toMatchObject({
      code: 0,
      out: expect.stringMatching(/goes on now with the budget you added/) as string,
    });
    await end();
  });

  it('says that a closed run is closed, and that there is no such run', async () => {
    const { run } = await asking();
    expect(await client.mendflow('abort', run, '--reason', 'wrong day')).toMatchObject({ code: 0 });
    await expect
      .poll(async () => (await client.mendflow('show', run, '--json')).json())
      .toMatchObject({ state: 'aborted', stages: [{ stage: 'fetch', state: 'aborted' }], waits: [] });
    await sleep(300);
    const late = await client.mendflow('retry', run, '--reason', 'too late');
    expect(late.code).toBe(4);
    expect(late.err).toMatch(
      /is aborted; there is nothing left to decide\. `mendflow start copy --date \S+ --set .*path=.* works what is left/,
    );
    const none = await client.mendflow('retry', 'copy/1999-01-01/a', '--reason', 'x');
    expect(none).toMatchObject({
      code: 6,
      err: expect.stringMatching(/There is no run "copy\/1999-01-01\/a"\. Nothing was decided/) as string,
    });
  });

  it('names all runs that a part of a key fits, and decides nothing', async () => {
    await asking();
    const ran = await client.mendflow('abort', 'copy/2026-04', '--reason', 'x');
    expect(ran.code).toBe(2);
    expect(ran.err).toMatch(/fits several runs; nothing was done\. Write one of them:\n {2}copy\/2026-04-/);
  });

  it('says "unpause first" for a paused run', async () => {
    const { run } = await asking();
    const execution = { workflowId: `${client.engine.prefix}/${run}` };
    const service = client.engine.client.workflowService;
    await service.pauseWorkflowExecution({
      namespace: 'default',
      workflowId: execution.workflowId,
      identity: 'test',
      reason: 'test',
      requestId: run,
    });
    const ran = await client.mendflow('retry', run, '--reason', 'x');
    expect(ran.err).toMatch(/is paused, so it takes no decision\. Nothing was changed\. Unpause it first/);
    expect(ran.code).toBe(4);
  });

  it(
    'is not confirmed when no worker answers, and repeating the command tells the outcome',
    { timeout: 90_000 },
    async () => {
      const { run, token, end } = await asking();
      await worker.stop();
      const startedAt = Date.now();
      const ran = await client.mendflow('retry', run, '--reason', 'no worker');
      expect(ran.code).toBe(5);
      expect(ran.err).toMatch(
        /did not answer within 10 s: not confirmed; may still be applied .* Repeat the same command to learn the outcome/,
      );
      expect(Date.now() - startedAt).toBeLessThan(15_000);
      await startWorker();
      const again = await client.mendflow('retry', run, '--token', token, '--reason', 'no worker');
      expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/^Already taken at/) as string });
      await end();
      expect((await decisions(run)).filter(({ taken }) => taken)).toHaveLength(1);
    },
  );

  it(
    'is told that Temporal has the run and waits for a worker; abort takes it back at once',
    { timeout: 60_000 },
    async () => {
      await worker.stop();
      // It measured its clock a moment ago; nobody waits here until that is too long ago.
      await client.engine.rows('delete from mendflow.worker_clock');
      const start = (path: string) =>
        client.mendflow('start', 'copy', '--date', '2026-04-30', '--set', `path=${path}`, '--set', 'format=plain');
      for (const path of ['early', 'wrong']) expect((await start(path)).code).toBe(0);
      // As watch writes it of a run whose code throws before it is opened.
      await client.engine.rows(
        `insert into mendflow.stalled_run (workflow_id, run_key, cause, text, mend, attempts, since)
         values ('zed', 'copy/2026-04-30/zed', 'code_bug', 'It throws.', 'Mend it.', 9, now())`,
      );
      const early = 'copy/2026-04-30/early';
      const wrong = 'copy/2026-04-30/wrong';
      const says = `${early} was accepted by Temporal at .* ago\\) and waits for a worker; none has begun it, and nothing of it is loaded\\. Start a worker by \`mendflow stack up\``;
      for (const argv of [
        ['show', early],
        ['show', '30/early'],
        ['logs', early],
      ])
        expect(await client.mendflow(...argv)).toMatchObject({
          code: 0,
          out: expect.stringMatching(new RegExp(says)) as string,
        });
      expect((await client.mendflow('show', early, '--json')).json()).toMatchObject({
        run: early,
        state: 'accepted',
        begun: false,
      });
      expect((await client.mendflow('runs')).out).toMatch(
        /2 runs are accepted by Temporal and wait for a worker: copy\S*, copy\S*\. Start a worker by `mendflow stack up`/,
      );
      expect((await client.mendflow('runs', '--date', '2026-04-29')).out).not.toContain('accepted');
      const listed = async (...more: string[]): Promise<{ run: string; state: string }[]> =>
        (await client.mendflow('runs', '--json', ...more)).json();
      const waiting = (await listed('--date', '2026-04-30')).toSorted((a, b) => a.run.localeCompare(b.run));
      const row = {
        state: 'accepted',
        pipeline: 'copy',
        dataDate: '2026-04-30',
        read: 0,
        stalled: null,
        openedAt: null,
      };
      expect(waiting).toMatchObject([
        ...[early, wrong].map((run) => ({ run, ...row })),
        { ...row, run: 'copy/2026-04-30/zed', stalled: 'code_bug' },
      ]);
      const [begun] = await listed('--state', 'done');
      expect(Object.keys(waiting[0]!)).toEqual(Object.keys(begun!));
      for (const more of [
        ['--date', '2026-04-29'],
        ['--state', 'running'],
      ])
        expect((await listed(...more)).filter(({ state }) => state === 'accepted')).toEqual([]);
      expect(await listed('--limit', '1')).toMatchObject([{ state: 'accepted' }]);
      await client.engine.rows('delete from mendflow.stalled_run');
      expect(await client.mendflow('letters', 'list', '--run', early)).toMatchObject({
        code: 6,
        err: expect.stringMatching(/waits for a worker.* Nothing was done\./) as string,
      });
      expect(await client.mendflow('retry', early, '--reason', 'x')).toMatchObject({
        code: 4,
        err: expect.stringMatching(
          /It asks nothing yet, so it takes no decision but abort\. Nothing was decided\./,
        ) as string,
      });
      expect(await client.mendflow('abort', wrong, '--reason', 'wrong day')).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^Ended: .*wrong was terminated before a worker had begun it/) as string,
      });
      expect((await client.mendflow('show', wrong)).code).toBe(6);
      await startWorker();
      await expect
        .poll(async () => (await client.mendflow('show', early, '--json')).json(), { timeout: 30_000 })
        .toMatchObject({ state: 'done' });
    },
  );
});
