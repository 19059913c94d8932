// What lives here: every branch of the engine, run once on a real server and kept as a history.
// Invariant: behaviours are named, never numbered; a new version of the engine adds files and removes none while runs of the old one may live.
// Apart from the replay test, which only reads.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import proto from '@temporalio/proto';
import { afterAll, beforeAll, it } from 'vitest';
import { serve, stage } from '../../src/engine/worker.ts';
import { CodedError } from '../../src/model/failure.ts';
import { breakerId, queues, watchId } from '../../src/model/ids.ts';
import type { Decision, RunArgs } from '../../src/model/messages.ts';
import { setMode } from '../../src/store/breakers.ts';
import { type Engine, openEngine, outcomes, throwCode } from '../support/engine.ts';
import { goldenDue, goldenFan, goldenLine, goldenLoud } from './pipelines.ts';

/** Of the engine's commands. Raise it when a change needs `patched()`, and keep the files of the one before. */
const VERSION = 'v1';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => {
    const scripted = { first: stage('first'), second: stage('second'), third: stage('third') };
    return [
      serve(goldenLine, scripted),
      serve(goldenLoud, scripted),
      serve(goldenDue, scripted),
      serve(goldenFan, { list: stage('list'), each: stage('each') }),
      { spec: { ...goldenLine.spec, name: 'golden-existing' } as never, stages: { first: stage('first') } },
    ];
  });
  await engine.startWorker('./test/histories/pipelines.ts');
});
afterAll(() => engine?.close());

let day = 0;
const ann = { actor: 'ann', reason: 'for the record' };
const fine = outcomes('fine');

/** Fails so often with a code, then is fine. */
const failing = (code: string, times: number): (() => unknown) => {
  let left = times;
  return () => {
    // As every stage that moves records does: only then a loss can be accepted.
    void stage().acceptLoss;
    return left-- > 0 ? outcomes(code)(1, null) : 'fine';
  };
};

interface Scripts {
  readonly [stage: string]: (call: number, input: unknown) => unknown;
}

async function begin(pipeline: string, scripts: Scripts, more: Partial<RunArgs> = {}): Promise<WorkflowHandle> {
  for (const stage of ['first', 'second', 'third', 'list', 'each']) engine.script(stage, scripts[stage] ?? fine);
  return await engine.start(pipeline, { dataDate: `2026-10-${String(++day).padStart(2, '0')}`, ...more });
}
const runOf = ({ workflowId }: WorkflowHandle): string => workflowId.slice(workflowId.indexOf('/') + 1);
const latest = (handle: WorkflowHandle): WorkflowHandle => engine.client.workflow.getHandle(handle.workflowId);
const decide = (handle: WorkflowHandle, decision: Decision) => engine.decide(latest(handle), { ...ann, ...decision });
const over = (handle: WorkflowHandle): Promise<unknown> => latest(handle).result().catch(() => undefined);

/** Who ran it, and where its code lay, is nobody's business and would only make the files differ. */
const left: Readonly<Record<string, string>> = { identity: 'recorded', stackTrace: '' };

async function keep(behaviour: string, handle: WorkflowHandle, runId?: string): Promise<void> {
  const history = await engine.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  const plain = proto.temporal.api.history.v1.History.create(history).toJSON();
  const text = JSON.stringify(plain, (name, value: unknown) => left[name] ?? value, 1);
  writeFileSync(join(import.meta.dirname, `${behaviour}-${VERSION}.json`), `${text}\n`);
}

async function untilCarried(handle: WorkflowHandle): Promise<string> {
  const before = (await handle.describe()).runId;
  for (let tries = 0; tries < 200; tries++) {
    if ((await latest(handle).describe()).runId !== before) return before;
    await sleep(50);
  }
  throw new Error('The run did not continue as new within 10 s.');
}

it('straight, healed, slow phase, failed, already done, forced', async () => {
  const straight = await begin('golden-line', {});
  await over(straight);
  await keep('straight', straight);
  const dataDate = runOf(straight).split('/')[1]!;
  const again = await begin('golden-line', {}, { dataDate });
  await over(again);
  await keep('already-done', again);
  const forced = await begin('golden-line', {}, { dataDate, force: true });
  await over(forced);
  await keep('forced', forced);
  const healed = await begin('golden-line', { first: failing('http_503', 2) });
  await over(healed);
  await keep('healed', healed);
  const slow = await begin('golden-line', { first: failing('http_500', 4) });
  await over(slow);
  await keep('slow-phase', slow);
  const loud = await begin('golden-loud', { first: failing('http_500', 9) });
  await over(loud);
  await keep('heal-off', loud);
});

it('every decision', async () => {
  for (const kind of ['retry', 'skip', 'accept-loss', 'extend-budget', 'abort'] as const) {
    const handle = await begin('golden-line', { second: failing('http_401', 1) });
    await engine.parked('second', runOf(handle));
    await keep(`asking-${kind}-unfinished`, handle);
    await decide(handle, { kind, stage: 'second', attempts: 2 });
    await over(handle);
    await keep(`asked-${kind}`, handle);
  }
  const working = await begin('golden-line', { first: failing('http_500', 4) });
  await sleep(60);
  await decide(working, { kind: 'extend-budget', stage: 'first', attempts: 5 }).catch(() => undefined);
  await over(working);
  await keep('extended-while-working', working);
  const refused = await begin('golden-line', { second: failing('http_401', 1) });
  await engine.parked('second', runOf(refused));
  for (const garbage of [null, 42, { kind: 'nonsense' }, { kind: 'skip', stage: 'first' }])
    await refused.signal('decide', garbage);
  await refused.signal('resume', ann);
  await over(refused);
  await keep('refused-signals', refused);
});

it('cancellations', async () => {
  const parked = await begin('golden-line', { second: failing('http_401', 1) });
  await engine.parked('second', runOf(parked));
  await parked.cancel();
  await over(parked);
  await keep('cancelled-while-parked', parked);
  const busy = await begin('golden-line', { second: () => sleep(1_500).then(() => 'fine') });
  await sleep(700);
  await decide(busy, { kind: 'abort' });
  await over(busy);
  await keep('aborted-while-working', busy);
});

it('parks that are carried, that wait, and that are due', async () => {
  const carried = await begin('golden-line', { second: failing('http_401', 1) }, { carryAfterMs: 200 });
  await engine.parked('second', runOf(carried));
  const before = await untilCarried(carried);
  await keep('continued-as-new', carried, before);
  for (let tries = 0; tries < 200 && (await latest(carried).describe()).historyLength < 8; tries++) await sleep(50);
  await keep('carried-unfinished', carried);
  await decide(carried, { kind: 'retry', stage: 'second' });
  await over(carried);
  await keep('carried', latest(carried));
  const waiting = await begin('golden-line', { first: () => throwCode('http_503_retry_after', 60_000) });
  await engine.parked('first', runOf(waiting));
  await keep('waiting-unfinished', waiting);
  await decide(waiting, { kind: 'abort' });
  const due = await begin('golden-due', { first: failing('http_500', 99) });
  await sleep(3_500);
  await keep('due-unfinished', due);
  await decide(due, { kind: 'abort' });
  await over(due);
});

it('many at once, and one stage in a foreign workflow', async () => {
  const bad = new Set(['a', 'b']);
  const each = (_call: number, input: unknown): unknown =>
    bad.delete(String(input)) ? outcomes('http_400')(1, null) : `${String(input)} fine`;
  const fan = await begin('golden-fan', { list: outcomes(['a', 'b', 'c']), each });
  await engine.parked('each[a]', runOf(fan));
  await engine.parked('each[b]', runOf(fan));
  await keep('two-ask-unfinished', fan);
  await decide(fan, { kind: 'retry', stage: 'each[b]' });
  await sleep(500);
  await keep('one-of-two-decided-unfinished', fan);
  await decide(fan, { kind: 'skip', stage: 'each[a]' });
  await over(fan);
  await keep('two-asked', fan);
  engine.script('first', failing('http_503', 1));
  const foreign = await engine.client.workflow.start('goldenExisting', {
    taskQueue: queues(engine.prefix).work,
    workflowId: `${engine.prefix}/foreign`,
    args: [1],
  });
  await over(foreign);
  await keep('adopted', foreign);
});

it('an outage', async () => {
  const refused = (): never => {
    throw new CodedError('breaker_open', 'The breaker of http:golden is forced open.', { upstream: 'http:golden' });
  };
  const mode = (to: 'forced_open' | 'auto'): Promise<unknown> =>
    setMode(engine.pool, 'http:golden', { mode: to, untilMs: 600_000, by: 'ann', why: 'for the record' });
  await mode('forced_open');
  let isOpen = true;
  const handle = await begin('golden-line', { first: () => (isOpen ? refused() : 'fine') });
  await engine.parked('first', runOf(handle));
  await handle.signal('wake', { token: 'of another park' });
  await keep('parked-on-upstream-unfinished', handle);
  const due = await begin('golden-due', { first: refused });
  await sleep(3_500);
  await keep('upstream-past-deadline-unfinished', due);
  await decide(due, { kind: 'abort' });
  const recovery = engine.client.workflow.getHandle(breakerId(engine.prefix, 'http:golden'));
  await keep('recovery-unfinished', recovery);
  await keep('watch-unfinished', engine.client.workflow.getHandle(watchId(engine.prefix)));
  isOpen = false;
  engine.script('first', fine);
  await mode('auto');
  await recovery.signal('poke');
  await over(handle);
  await keep('woken-by-upstream', handle);
  await over(recovery);
  await keep('recovery', recovery);
});
