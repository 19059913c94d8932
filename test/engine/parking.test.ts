// What is promised here: a run whose upstream is away waits at no cost, is woken when it is back, and asks nobody.
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultPayloadConverter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setMode } from '../../src/store/breakers.ts';
import { toldParksOf } from '../../src/store/reads.ts';
import { openOutage, type Outage } from '../support/outage.ts';

let at: Outage;
beforeAll(async () => {
  at = await openOutage();
  await at.startWorker();
});
afterAll(() => at?.close());

const page = async (handle: { query(name: string): Promise<unknown> }): Promise<string> =>
  ((await handle.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails ?? '';

describe('an outage', () => {
  it('parks the runs, lets one try per cooldown, and ends with nobody asked', async () => {
    at.api.answer(503);
    const handles = await at.runs(6, 'basic-');
    await at.parked(6);
    const [park] = await at.parks();
    expect(park).toMatchObject({ until: 'upstream', code: 'breaker_open' });
    // Whoever is sent ahead does not wait meanwhile, and the first of them may be it.
    let told = '';
    for (let tries = 0; tries < 40 && !told.includes('Waits for http:api since'); tries++) {
      told = await page(handles[0]!);
      await sleep(50);
    }
    expect(told).toContain('Waits for http:api since');
    expect(told).toContain('Nothing has to be done');
    const { searchAttributes } = await handles[0]!.describe();
    expect(searchAttributes['Upstream']).toEqual(['http:api']);
    expect(searchAttributes['PipelineHealth']).toEqual(['parked']);
    const before = at.api.seen.length;
    const openedAt = Date.now();
    await sleep(4_000);
    // Cooldowns of 0.7, 1.4 and 1.5 s: three or four trials, whoever makes them.
    expect(at.api.seen.length - before).toBeLessThanOrEqual(Math.ceil((Date.now() - openedAt) / 700));
    expect(at.api.seen.length - before).toBeGreaterThanOrEqual(1);
    at.api.answer(200);
    for (const handle of handles)
      expect(await at.engine.result(handle)).toMatchObject({ state: 'done', decisions: 0, balanced: true });
    expect(await at.parks()).toEqual([]);
    const attempts = await at.engine.rows<{ code: string }>('select code from mendflow.attempt');
    expect(attempts.filter(({ code }) => code === 'breaker_open')).toEqual([]);
    await at.recovery().result();
    const { events } = await at.recovery().fetchHistory();
    const timers = events!.filter(({ timerStartedEventAttributes: one }) => one);
    const said = timers.map(({ userMetadata }) => String(defaultPayloadConverter.fromPayload(userMetadata!.summary!)));
    expect(said.length).toBeGreaterThan(0);
    for (const one of said) expect(one).toMatch(/^next look at http:api: \w/);
    expect((await at.breaker()).state).toBe('closed');
  });

  it('counts no attempt that was refused, and no event of it is a failure to be alarmed about', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const [handle] = await at.runs(1, 'refused-');
    await at.parked(1);
    expect((await at.parks())[0]).toMatchObject({ attempts: 0, code: 'breaker_open' });
    expect(
      await at.engine.rows('select attempts, state from mendflow.stage_run where run_key like $1 and stage = $2', [
        '%refused-1',
        'ask',
      ]),
    ).toEqual([{ attempts: 0, state: 'parked' }]);
    const { events } = await handle!.fetchHistory();
    const failed = events!.filter(({ activityTaskFailedEventAttributes: one }) => one);
    expect(failed).toHaveLength(1);
    expect(failed[0]!.activityTaskFailedEventAttributes!.failure!.applicationFailureInfo).toMatchObject({
      type: 'breaker_open',
      nonRetryable: true,
      category: 1,
    });
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    const summary = await at.engine.result(handle!);
    expect(summary.stages).toMatchObject([{ stage: 'ask', state: 'done', attempts: 1 }]);
  });

  it('ignores a wake for another park, and fifty that are none', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const [handle] = await at.runs(1, 'garbage-');
    await at.parked(1);
    const [before] = await at.parks();
    const garbage: unknown[] = [
      undefined,
      null,
      0,
      '',
      'token',
      [],
      {},
      { token: 4 },
      { token: 'other-1' },
      { token: '' },
    ];
    for (let nth = 0; nth < 50; nth++) await handle!.signal('wake', garbage[nth % garbage.length]);
    await sleep(500);
    // One that was woken would have been refused and parked again, under another token.
    expect(await at.parks()).toEqual([before]);
    expect((await handle!.describe()).status.name).toBe('RUNNING');
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    expect(await at.engine.result(handle!)).toMatchObject({ state: 'done' });
  });

  it('answers a decision by what comes of it: behind an open breaker another wait, and no call', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const [handle] = await at.runs(1, 'told-');
    await at.parked(1);
    const [before] = await at.parks();
    const calls = at.api.seen.length;
    const { text } = await at.engine.decide(handle!, { kind: 'retry', actor: 'ann', reason: 'now' });
    expect(text).toMatch(
      /^ask is tried again now, with its whole budget if the breaker of http:api lets a call through\. If not it makes none, and waits for it again .*`mendflow breakers show http:api`/,
    );
    await expect.poll(async () => (await at.parks())[0]?.token ?? before!.token).not.toBe(before!.token);
    expect(at.api.seen).toHaveLength(calls);
    const added = await at.engine.decide(handle!, { kind: 'extend-budget', attempts: 2, actor: 'ann', reason: 'more' });
    expect(added.text).toMatch(/if the breaker of http:api lets a call through\. .* what you added is then gone/);
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    expect(await at.engine.result(handle!)).toMatchObject({ state: 'done', decisions: 2 });
  });

  it('becomes a question at the deadline, and a person may still say to go on', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const [handle] = await at.runs(1, 'late-', 'due');
    await at.parked(1);
    await at.parked(1, 'decision');
    expect(await page(handle!)).toContain('while it waited for http:api');
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    await at.engine.decide(handle!, { kind: 'retry', actor: 'ann', reason: 'it is back' });
    expect(await at.engine.result(handle!)).toMatchObject({ state: 'done', decisions: 1 });
    const [{ key } = { key: '' }] = await at.engine.rows<{ key: string }>(
      `select key from mendflow.run where scope = 'late-1'`,
    );
    const told = await toldParksOf(at.engine.pool, key, 10);
    expect(told).toMatchObject([
      { until: 'upstream', upstream: 'http:api', code: 'breaker_open' },
      { until: 'decision', code: 'breaker_open' },
    ]);
    for (const { since, endedAt } of told) expect(endedAt!.getTime()).toBeGreaterThanOrEqual(since.getTime());
  });

  it('keeps a history of a few events, however often a park looks', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const [handle] = await at.runs(1, 'short-');
    await at.parked(1);
    const events = async (): Promise<number> => (await handle!.fetchHistory()).events!.length;
    const before = await events();
    await sleep(2_000);
    expect(await events()).toBe(before);
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    expect(await at.engine.result(handle!)).toMatchObject({ state: 'done' });
  });

  it('lets all go although a row was left behind by a park that is over', async () => {
    await setMode(at.engine.pool, 'http:api', { mode: 'forced_open', untilMs: 60_000, by: 'ann', why: 'test' });
    const handles = await at.runs(4, 'ghost-');
    await at.parked(4);
    const { epoch } = await at.breaker();
    // As a look writes it that was under way when its park ended: let go, and nobody will ever go for it.
    await at.engine.rows(
      `insert into mendflow.parked_run (run_key, stage, workflow_id, token, until, code, class, text, attempts, elapsed_ms, since, upstream, released_at, released_epoch)
       select run_key, 'before', workflow_id, 'before-1', until, code, class, text, attempts, elapsed_ms, since, upstream, clock_timestamp(), $1
       from mendflow.parked_run order by run_key limit 1`,
      [epoch],
    );
    await setMode(at.engine.pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
    for (const handle of handles) expect(await at.engine.result(handle)).toMatchObject({ state: 'done' });
    // Watch removes it, now that its run has ended.
    await at.parked(0);
  });
});
