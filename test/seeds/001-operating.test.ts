// What is promised here: what document 001 asks for the moment in which a person is needed: what is told, what can be decided, and what stays visible.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stage } from '../../src/engine/worker.ts';
import { CodedError, isCode } from '../../src/model/failure.ts';
import { type Client, openClient, type Ran } from '../support/client.ts';

let client: Client;
beforeAll(async () => {
  client = await openClient();
  await client.engine.startWorker('./test/client/project/pipelines.ts');
});
afterAll(() => client?.close());

const SERVICE = 'http:inventory-service';
/** As a connector raises it. */
const fail = (code: string): never => {
  if (!isCode(code)) throw new TypeError(code);
  throw new CodedError(code, `${SERVICE} answered POST /adjustments with 500.`, { upstream: SERVICE });
};
let day = 0;
const start = async (more: { pipeline?: string } = {}): Promise<Ran & { run: string }> => {
  const { pipeline = 'copy' } = more;
  const inputs = pipeline === 'copy' ? ['--set', 'path=a', '--set', 'format=plain'] : [];
  const date = `2026-08-${String(++day).padStart(2, '0')}`;
  const ran = await client.mendflow('start', pipeline, '--date', date, ...inputs, '--wait', '--json');
  return { ...ran, run: ran.json<{ run: string }>().run };
};

interface Page {
  readonly waits: readonly {
    readonly class: string;
    readonly code: string;
    readonly attempts: number;
    readonly elapsedMs: number;
    readonly upstream: string;
    readonly text: string;
    readonly commands: readonly string[];
  }[];
}

describe('001-12 "Job retried 8 times over 4 minutes, all attempts returned 500 from inventory-service"', () => {
  it('class, attempts, elapsed time, upstream and a sample of the error stand together, with the runbook', async () => {
    client.engine.script('fetch', () => 'fine');
    client.engine.script('load', (call) => {
      // As every stage that moves records does.
      void stage().acceptLoss;
      return fail(call < 3 ? 'http_500' : 'http_400');
    });
    const { run, code } = await start();
    expect(code).toBe(3);
    const { waits } = (await client.mendflow('show', run, '--json')).json<Page>();
    expect(waits).toMatchObject([
      {
        class: 'permanent',
        code: 'http_400',
        attempts: 3,
        upstream: SERVICE,
        text: `${SERVICE} answered POST /adjustments with 500.`,
      },
    ]);
    expect(waits[0]!.elapsedMs).toBeGreaterThan(0);
    const { out } = await client.mendflow('show', run);
    expect(out).toMatch(/load asks since .*, after 3 attempts, .* after the first failure: http_400/);
    expect(out).toMatch(/What to look at: .*ops\/runbooks\/upstream-refuses\.md/);
  });

  it('001-13 the log has each attempt with its number, its error and the wait after it, and no dump of a stack', async () => {
    const { entries } = (await client.mendflow('logs', `copy/2026-08-${String(day).padStart(2, '0')}`, '--json')).json<{
      entries: { what: string; text: string }[];
    }>();
    const attempts = entries.filter(({ what }) => what === 'attempt').map(({ text }) => text);
    expect(attempts).toHaveLength(3);
    expect(attempts[0]).toMatch(/^1 of \d+ failed with http_500 \(transient\): .* Next try at [-\d]+ [:\d]+Z/);
    expect(attempts[1]).toMatch(/^2 of \d+ failed with http_500/);
    expect(attempts[2]).toMatch(/^3 of \d+ failed with http_400 \(permanent\): .* Not tried again by itself/);
    expect(attempts.join()).not.toMatch(/\.[cm]?[jt]s:\d+:\d+/);
  });
});

describe('001-8 an engineer may extend the budget, fix something upstream, or accept the loss', () => {
  it('all three are ready to copy, and each is taken', async () => {
    const run = `copy/2026-08-${String(day).padStart(2, '0')}/a`;
    const { waits } = (await client.mendflow('show', run, '--json')).json<Page>();
    expect(waits[0]!.commands.map((line) => line.split(' ')[1])).toEqual(
      expect.arrayContaining(['retry', 'extend-budget', 'accept-loss']),
    );
    // More budget, and it still fails; then the upstream is mended; the next one is given up.
    client.engine.script('load', () => fail('http_400'));
    const asked = (): Promise<{ token: string }[]> =>
      client.engine.rows("select token from mendflow.parked_run where run_key = $1 and until = 'decision'", [run]);
    const [first] = await asked();
    expect((await client.mendflow('extend-budget', run, '--attempts', '2', '--reason', 'they restart it')).code).toBe(
      0,
    );
    await expect
      .poll(async () => (await asked())[0]?.token ?? first!.token, { timeout: 20_000 })
      .not.toBe(first!.token);
    client.engine.script('load', () => 'fine');
    expect((await client.mendflow('retry', run, '--reason', 'schema put right')).code).toBe(0);
    const state = async (key: string): Promise<string | undefined> =>
      (await client.engine.rows<{ state: string }>('select state from mendflow.run where key = $1', [key]))[0]?.state;
    await expect.poll(() => state(run), { timeout: 20_000 }).toBe('done');
    expect((await client.mendflow('logs', run)).out).toMatch(
      /4 of 5 \(a new budget of 2 began after attempt 3\) failed with http_400/,
    );
    client.engine.script('load', (call, input) =>
      input === undefined || stage().acceptLoss ? call : fail('http_400'),
    );
    const lost = await start();
    expect(lost.code).toBe(3);
    client.engine.script('load', () => 'fine');
    expect((await client.mendflow('accept-loss', lost.run, '--reason', 'one day of no use')).code).toBe(0);
    await expect.poll(() => state(lost.run), { timeout: 20_000 }).toBe('degraded');
    const kept = await client.engine.rows('select kind, actor, reason from mendflow.decision where taken order by id');
    expect(kept).toEqual([
      { kind: 'extend-budget', actor: 'anna', reason: 'they restart it' },
      { kind: 'retry', actor: 'anna', reason: 'schema put right' },
      { kind: 'accept-loss', actor: 'anna', reason: 'one day of no use' },
    ]);
  });
});

describe('001-14 a job that succeeds on the last try every time is no healthy job', () => {
  it('stands out: how many needed a retry, and how many attempts the worst took', async () => {
    client.engine.script('load', () => 'fine');
    for (let run = 0; run < 3; run++) {
      let tries = 0;
      client.engine.script('fetch', () => (++tries < 4 ? fail('http_503') : 'fine'));
      expect((await start()).code).toBe(0);
    }
    const { retryRates } = (await client.mendflow('last-night', '--json')).json<{ retryRates: object[] }>();
    expect(retryRates).toContainEqual({ pipeline: 'copy', stage: 'fetch', stages: 5, retried: 3, attemptsMost: 4 });
    client.engine.script('fetch', () => 'fine');
  });
});

describe('001-16 healing is worth it for what runs often; a one-off may fail loudly', () => {
  it('with the profile `heal: off` the run fails at once, with the code, parked by nothing', async () => {
    client.engine.script('fetch', () => fail('http_401'));
    const { code, run } = await start({ pipeline: 'loud' });
    expect(code).toBe(1);
    expect(await client.engine.rows('select from mendflow.parked_run where run_key = $1', [run])).toEqual([]);
    const show = await client.mendflow('show', run);
    expect(show.out).toMatch(/is failed/);
    expect(show.out).toContain('http_401');
  });
});
