// What is promised here: what a call does to its breaker and what the breaker does to the next call, over two workers and a real database.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { OpenUpstreams } from '../../src/connectors/upstream.ts';
import { CodedError } from '../../src/model/failure.ts';
import { secret, type Upstream } from '../../src/model/upstream.ts';
import { breakerEvents, readBreaker, setMode, tickBreaker, wouldAdmit } from '../../src/store/breakers.ts';
import { codeOf, fails, openScene, quick, type Scene, until } from '../support/upstreams.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterEach(() => scene.closeWorkers());
afterAll(() => scene.close());

let keys = 0;
/** Two workers with one upstream of their own. */
async function two(
  more: Partial<Upstream> = {},
  secrets: Record<string, string> = {},
): Promise<{
  key: string;
  one: OpenUpstreams;
  other: OpenUpstreams;
  say: (code: Parameters<typeof fails>[0], delay?: number) => Promise<string>;
  ok: (by?: OpenUpstreams) => Promise<string>;
}> {
  const key = `http:up-${++keys}`;
  const declared = { [key]: { address: 'http://localhost:1', ...more, breaker: { ...quick, ...more.breaker } } };
  const one = await scene.worker('one', declared, { secrets });
  const other = await scene.worker('other', declared, { secrets });
  return {
    key,
    one,
    other,
    say: (code, delay) => codeOf(one.at(key).call(fails(code, delay))),
    ok: (by = one) => codeOf(by.at(key).call(() => Promise.resolve(1))),
  };
}
const stateOf = async (key: string): Promise<string> => (await readBreaker(scene.pool, key))!.state;
const trip = async (say: (code: 'http_503') => Promise<string>): Promise<void> => {
  for (let n = 0; n < 3; n++) expect(await say('http_503')).toBe('http_503');
};

describe('an outage', () => {
  it('opens after the declared failures, for every worker, and says so without calling', async () => {
    const { key, one, other, say, ok } = await two({ breaker: { cooldownMs: 60_000 } });
    await trip(say);
    let called = 0;
    const refused = await one
      .at(key)
      .call(() => Promise.resolve(called++))
      .catch((error: unknown) => error as CodedError);
    expect(called).toBe(0);
    expect((refused as CodedError).failure).toMatchObject({ code: 'breaker_open', class: 'delayed', upstream: key });
    expect((refused as CodedError).failure.nextDelayMs).toBeGreaterThan(58_000);
    expect((refused as CodedError).message).toMatch(
      /^The breaker of http:up-\d+ is open \(3 of 3 calls failed, the last with http_503 from localhost:1\); no call was made\. The next trial is at \d{4}-\d\d-\d\dT[\d:.]+Z\. See: npx mendflow breakers show http:up-\d+$/,
    );
    await until(async () => (await ok(other)) === 'breaker_open');
  });

  it('lets one trial through over all workers, then all again', async () => {
    const { key, one, other, say } = await two();
    await trip(say);
    await sleep(450);
    let trials = 0;
    const work = async (): Promise<void> => {
      trials++;
      await sleep(100);
    };
    const answers = await Promise.all([one, other, one, other, one, other].map((by) => codeOf(by.at(key).call(work))));
    expect(trials).toBe(1);
    expect(answers.toSorted()).toEqual([...Array<string>(5).fill('breaker_open'), 'ok']);
    expect(await stateOf(key)).toBe('ramping');
    await until(async () => (await codeOf(other.at(key).call(() => Promise.resolve()))) === 'ok');
    await sleep(450);
    expect(await tickBreaker(scene.pool, key)).toMatchObject({ state: 'closed' });
    expect((await breakerEvents(scene.pool, key, 10)).map(({ from, to }) => `${from} > ${to}`)).toEqual([
      'ramping > closed',
      'half_open > ramping',
      'open > half_open',
      'closed > open',
    ]);
  });

  it('keeps a longer cooldown after each failed trial', async () => {
    const { key, say } = await two({ breaker: { cooldownMs: 200 } });
    await trip(say);
    await sleep(260);
    expect(await say('http_503')).toBe('http_503');
    const { streak, openLeftMs } = (await readBreaker(scene.pool, key))!;
    expect(streak).toBe(2);
    expect(openLeftMs).toBeGreaterThan(250);
  });

  it('keeps everybody away as long as a Retry-After asks, where that is longer than the cooldown', async () => {
    const { key, say } = await two();
    await say('http_503');
    await say('http_503');
    await say('http_503_retry_after', 5_000);
    expect(await wouldAdmit(scene.pool, key)).toMatchObject({ admit: false, state: 'open', why: 'throttled' });
    expect((await wouldAdmit(scene.pool, key)).retryMs).toBeGreaterThan(4_000);
  });

  it('is seen while calls still hang, where slow calls are declared', async () => {
    const { key, one, say } = await two({ slow: '50 milliseconds', timeout: '10 seconds', breaker: { callsMin: 5 } });
    const stop = new AbortController();
    const hanging = Array.from({ length: 6 }, () =>
      codeOf(one.at(key).call((signal) => sleep(9_000, undefined, { signal }), { signal: stop.signal })),
    );
    await until(async () => (await stateOf(key)) === 'open');
    stop.abort(new Error('the test is over'));
    expect(new Set(await Promise.all(hanging))).toEqual(new Set(['Error: the test is over']));
    expect(await say('http_503')).toBe('breaker_open');
    const [event] = await breakerEvents(scene.pool, key, 1);
    expect(event!.detail).toMatchObject({ fail: 0 });
  });
});

describe('what proves an upstream up, and what says nothing', () => {
  it.each([
    'http_404',
    'http_404_not_yet',
    'http_400',
    'record_invalid',
    'answer_changed',
    'pg_schema',
    'pg_forbidden',
    'pg_conflict',
  ] as const)('%s is an answer', async (code) => {
    const { key, say } = await two();
    await say('http_503');
    await say('http_503');
    expect(await say(code)).toBe(code);
    await until(async () => (await readBreaker(scene.pool, key))!.consecutive === 0);
    await say('http_503');
    expect(await stateOf(key)).toBe('closed');
  });

  it.each(['code_bug', 'disk_full', 'unknown', 'breaker_open', 'lease_held'] as const)(
    '%s hands a trial back',
    async (code) => {
      const { key, say, ok } = await two();
      await trip(say);
      await sleep(450);
      expect(await say(code)).toBe(code);
      expect(await stateOf(key)).toBe('half_open');
      expect(await ok()).toBe('ok');
      expect(await stateOf(key)).toBe('ramping');
    },
  );

  it('a call that we stopped ourselves hands its trial back and throws what it was stopped with', async () => {
    const { key, one, say, ok } = await two();
    await trip(say);
    await sleep(450);
    const stop = new AbortController();
    const why = new Error('shutting down');
    const call = one.at(key).call((signal) => sleep(9_000, undefined, { signal }), { signal: stop.signal });
    await until(async () => (await stateOf(key)) === 'half_open');
    stop.abort(why);
    await expect(call).rejects.toBe(why);
    expect(await stateOf(key)).toBe('half_open');
    expect(await ok()).toBe('ok');
  });

  it('a call that is stopped before its trial is granted is never made, and hands it back', async () => {
    const { key, one, say, ok } = await two();
    await trip(say);
    await sleep(450);
    const stop = new AbortController();
    let made = 0;
    const call = one.at(key).call(() => Promise.resolve(made++), { signal: stop.signal });
    stop.abort(new Error('shutting down'));
    await expect(call).rejects.toThrow('shutting down');
    expect(made).toBe(0);
    expect(await ok()).toBe('ok');
  });

  it('a result of an older epoch moves nothing, and its data is still given', async () => {
    const { key, one, say } = await two();
    let finish: (value: string) => void = () => undefined;
    const late = one.at(key).call(() => new Promise<string>((resolve) => (finish = resolve)));
    await trip(say);
    const before = (await readBreaker(scene.pool, key))!;
    finish('data');
    expect(await late).toBe('data');
    await sleep(1_200);
    expect(await readBreaker(scene.pool, key)).toMatchObject({ epoch: before.epoch, state: 'open' });
  });
});

describe('a 429', () => {
  it('keeps all workers away until then, and is no failure', async () => {
    const { key, one, other, say, ok } = await two();
    for (let n = 0; n < 3; n++) expect(await say('http_429', 0)).toBe('http_429');
    const asked = performance.now();
    expect(await say('http_429', 900)).toBe('http_429');
    expect(await ok(one)).toBe('breaker_open');
    await until(async () => (await ok(other)) === 'breaker_open', 500);
    await until(async () => (await ok(other)) === 'ok');
    expect(performance.now() - asked).toBeGreaterThan(899);
    expect(await readBreaker(scene.pool, key)).toMatchObject({ state: 'closed', epoch: 1, streak: 0 });
  });
});

describe('a credential that is refused', () => {
  const headers = { authorization: secret('TOKEN', { before: 'Bearer ' }) };

  it('makes exactly one of many callers ask; all others wait for its answer', async () => {
    const { key, one, other } = await two({ headers }, { TOKEN: 'old' });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => codeOf((n % 2 === 0 ? one : other).at(key).call(fails('http_401')))),
    );
    expect(answers.filter((code) => code === 'http_401')).toHaveLength(1);
    expect(answers.filter((code) => code === 'breaker_open')).toHaveLength(19);
    expect(await readBreaker(scene.pool, key)).toMatchObject({ state: 'open', hold: 'http_401' });
    await sleep(500);
    // The cooldown is over, and time heals no credential.
    expect(await codeOf(one.at(key).call(() => Promise.resolve()))).toBe('breaker_open');
  });

  it('lets a decided retry through as a trial, once; a passed one ends it for all', async () => {
    const { key, one, other, say } = await two({ headers, breaker: { cooldownMs: 60_000 } }, { TOKEN: 'old' });
    expect(await say('http_401')).toBe('http_401');
    expect(await codeOf(one.at(key).call(fails('http_401'), { decided: true }))).toBe('http_401');
    expect(await codeOf(one.at(key).call(fails('http_401')))).toBe('breaker_open');
    expect(await codeOf(one.at(key).call(() => Promise.resolve(), { decided: true }))).toBe('ok');
    const now = (await readBreaker(scene.pool, key))!;
    expect([now.state, now.hold]).toEqual(['ramping', undefined]);
    await until(async () => (await codeOf(other.at(key).call(() => Promise.resolve()))) === 'ok');
  });

  it('is held by the credential that was sent, not by one that came while the answer was on its way', async () => {
    const secrets = { TOKEN: 'old' };
    const { key, one, ok } = await two({ headers }, secrets);
    const sentWithOld = async (): Promise<never> => {
      secrets.TOKEN = 'new';
      return await fails('http_401')();
    };
    expect(await codeOf(one.at(key).call(sentWithOld))).toBe('http_401');
    expect((await readBreaker(scene.pool, key))!.hold).toBe('http_401');
    await until(async () => (await ok()) === 'ok', 5_000);
    expect(await stateOf(key)).toBe('ramping');
  });

  it('is tried again by itself after the cooldown once the credential is another', async () => {
    const secrets = { TOKEN: 'old' };
    const { key, one, say, ok } = await two({ headers }, secrets);
    expect(await say('http_401')).toBe('http_401');
    await sleep(450);
    expect(await ok()).toBe('breaker_open');
    secrets.TOKEN = 'new';
    expect(await codeOf(one.at(key).call(() => Promise.resolve(1)))).toBe('ok');
    expect(await stateOf(key)).toBe('ramping');
  });

  it('becomes an outage if the decided retry meets one', async () => {
    const { key, one, say, ok } = await two({ headers }, { TOKEN: 'old' });
    await say('http_401');
    expect(await codeOf(one.at(key).call(fails('http_503'), { decided: true }))).toBe('http_503');
    const now = (await readBreaker(scene.pool, key))!;
    expect([now.state, now.hold]).toEqual(['open', undefined]);
    await until(async () => (await ok()) === 'ok');
  });
});

describe('operators', () => {
  it('force a breaker open, and the refusal says who and why', async () => {
    const { key, one } = await two();
    await setMode(scene.pool, key, { mode: 'forced_open', untilMs: 60_000, by: 'ada', why: 'maintenance' });
    await until(async () => (await codeOf(one.at(key).call(() => Promise.resolve()))) === 'breaker_open');
    await expect(one.at(key).call(() => Promise.resolve())).rejects.toThrow(/forced open by ada \(maintenance\)/);
    await setMode(scene.pool, key, { mode: 'auto', by: 'ada', why: 'over' });
    await until(async () => (await codeOf(one.at(key).call(() => Promise.resolve()))) === 'ok');
    expect(
      (await breakerEvents(scene.pool, key, 5)).map(({ kind, reason, detail }) => [kind, reason, detail['by']]),
    ).toEqual([
      ['mode', 'auto', 'ada'],
      ['mode', 'forced_open', 'ada'],
    ]);
  });

  it('cannot force one closed for good', async () => {
    await expect(setMode(scene.pool, 'http:x', { mode: 'forced_closed', by: 'ada', why: '' })).rejects.toThrow(
      /needs an end/,
    );
    await expect(
      scene.pool.query(`select mendflow.breaker_set_mode('http:x', 'forced_closed', null, 'ada', '')`),
    ).rejects.toThrow(/has to end/);
  });

  it('force one closed: calls go out although it is open; observe counts and never opens', async () => {
    const { key, say, ok } = await two({ breaker: { cooldownMs: 60_000 } });
    await trip(say);
    await setMode(scene.pool, key, { mode: 'forced_closed', untilMs: 60_000, by: 'ada', why: 'known' });
    await until(async () => (await ok()) === 'ok');
    const watched = await two();
    await setMode(scene.pool, watched.key, { mode: 'observe', by: 'ada', why: 'new' });
    for (let n = 0; n < 6; n++) expect(await watched.say('http_503')).toBe('http_503');
    expect(await readBreaker(scene.pool, watched.key)).toMatchObject({ state: 'closed', window: { fail: 6 } });
  });
});

describe('what a caller gets', () => {
  it('ends at the hard timeout, even if the work does not', async () => {
    const { key, one } = await two({ timeout: '80 milliseconds' });
    const begun = performance.now();
    const failed = await one
      .at(key)
      .call(() => new Promise(() => undefined))
      .catch((error: unknown) => (error as CodedError).failure);
    expect(failed).toMatchObject({ code: 'net_timeout', upstream: key, text: `${key} did not answer within 80 ms.` });
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  it('waits for work that it stopped itself, such as a load that closes its chunk', async () => {
    const { key, one } = await two();
    const stop = new AbortController();
    let ended = false;
    const call = one.at(key).call(
      async (signal) => {
        await sleep(9_000, undefined, { signal }).catch(() => sleep(600));
        ended = true;
        throw signal.reason;
      },
      { signal: stop.signal },
    );
    stop.abort(new Error('shutting down'));
    await expect(call).rejects.toThrow('shutting down');
    expect(ended).toBe(true);
  });

  it('leaves work that does not end when stopped at the hard timeout', async () => {
    const { key, one } = await two({ timeout: '300 milliseconds' });
    const stop = new AbortController();
    const call = one.at(key).call(() => new Promise(() => undefined), { signal: stop.signal });
    stop.abort(new Error('shutting down'));
    await expect(call).rejects.toThrow('shutting down');
  });

  it('names the upstream, applies its codes, and leaves the failure of another upstream alone', async () => {
    const { key, one, say } = await two({ codes: { http_404: 'http_404_not_yet' } });
    expect(await say('http_404')).toBe('http_404_not_yet');
    const own = await one
      .at(key)
      .call(() => Promise.reject(Object.assign(new Error('x'), { code: 'ECONNREFUSED' })))
      .catch((error: unknown) => (error as CodedError).failure);
    expect(own).toMatchObject({ code: 'net_refused', upstream: key, rule: 'code:ECONNREFUSED' });
    const inner = new CodedError('http_503', 'inner', { upstream: 'http:elsewhere' });
    await expect(one.at(key).call(() => Promise.reject(inner))).rejects.toBe(inner);
    expect((await readBreaker(scene.pool, key))!.window.fail).toBe(1);
  });

  it('refuses a key that nobody declared, and a declaration that is wrong', async () => {
    const { one, key } = await two();
    expect(() => one.at('http:other')).toThrow(new RegExp(`"http:other" is not declared.*${key}`));
    await expect(scene.worker('bad', { nokind: { address: 'x' } })).rejects.toThrow(/kind:name/);
  });

  it('spends retries from a budget that successes fill', async () => {
    const { key, one } = await two();
    let allowed = 0;
    while (one.spendRetry(key) && allowed < 50) allowed++;
    expect(allowed).toBeLessThan(15);
    expect(one.spendRetry(key)).toBe(false);
    for (let n = 0; n < 10; n++) await one.at(key).call(() => Promise.resolve());
    expect([one.spendRetry(key), one.spendRetry(key)]).toEqual([true, false]);
    expect(one.spendRetry('http:not-declared')).toBe(true);
  });

  it('tells the store at closing what it has not told yet', async () => {
    const key = 'http:closing';
    const own = await scene.worker('closing', { [key]: { address: 'http://localhost:1' } });
    for (let n = 0; n < 7; n++) await own.at(key).call(() => Promise.resolve());
    await own.close();
    expect((await readBreaker(scene.pool, key))!.window.calls).toBe(7);
  });
});
