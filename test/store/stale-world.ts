// What lives here: a small world for the test of stale writers: executions that come and go, their acts, and what the store has to hold.
// Invariant: the model knows nothing of fences: it is what the store would hold if no act had ever come late.
// Apart from the test so that the test reads as its promise.
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { failure } from '../../src/model/failure.ts';
import type { Park } from '../../src/model/messages.ts';
import { inTransaction, withClient } from '../../src/store/db.ts';
import { abortRun, closeRun } from '../../src/store/ledger.ts';
import type { Lease } from '../../src/store/lease.ts';
import type { Closer } from '../../src/store/closer.ts';
import { removePark, writePark } from '../../src/store/parks.ts';
import {
  openRun,
  type StageAt,
  writeAttempt,
  writeStageEnded,
  writeStageStarted,
  writeStageState,
} from '../../src/store/runs.ts';
import { insertSource } from '../../src/store/sources.ts';
import { commitNext, leased, type Place, type Seen, seenOf, SLICE, STAGE, STEP, wholeOf } from './stale-place.ts';

/** One attempt of something that a worker does for a run. */
export interface Attempt {
  readonly name: string;
  /** False once Temporal waits for another attempt, or for none. */
  wanted: boolean;
  /** Something was done since that it must not undo. Until then it is only the first to do what another will do again. */
  late: boolean;
  readonly act: object;
  run(): Promise<void>;
}

/** Acts that ask Temporal; these are late as soon as nobody waits for them. */
const asking: readonly string[] = ['open', 'close', 'settle'];

interface Act {
  readonly name: string;
  /** Makes the attempt; what it does before it is stopped, it does here. */
  attempt(at: number, isWanted: () => Promise<boolean>): Promise<() => Promise<void>>;
  /** What follows for the execution, and what the store holds then. */
  after(): void;
}

type Phase = 'opening' | 'ready' | 'working' | 'failed' | 'parked' | 'ending' | 'over';

interface Execution {
  readonly id: string;
  readonly force: boolean;
  phase: Phase;
  generation?: number;
  park?: Park;
  act?: { readonly act: Act; readonly attempt: Attempt };
}

export class World {
  readonly held: Attempt[] = [];
  readonly #place: Place;
  #time = 1_000;
  #execution: Execution | undefined;
  #run: { generation: number; state: string; openedBy: string } | undefined;
  #parks: string[] = [];
  /** By generation. */
  readonly #stage = new Map<number, string>();
  readonly #done = new Map<number, number>();

  private constructor(place: Place) {
    this.#place = place;
  }

  static async open(pool: Pool, url: string): Promise<World> {
    const key = `stale/2026-11-21/${randomUUID()}`;
    const { id } = await insertSource(pool, { pipeline: 'stale', name: Buffer.from(key) });
    return new World({ pool, url, key, sourceId: id });
  }

  get expected(): Seen {
    const stage = this.#run && this.#stage.get(this.#run.generation);
    return { run: this.#run && { ...this.#run }, parks: [...this.#parks], stage };
  }

  seen(): Promise<Seen> {
    return seenOf(this.#place);
  }

  whole(): Promise<unknown> {
    return wholeOf(this.#place);
  }

  /** Temporal starts an execution, if none is under way. */
  async start(force: boolean): Promise<void> {
    if (this.#execution) return;
    this.#execution = { id: `execution-${++this.#time}`, force, phase: 'opening' };
    await this.#schedule();
  }

  /** A worker does what is to be done. */
  async perform(): Promise<void> {
    const act = this.#execution?.act;
    if (!act) return;
    await act.attempt.run();
    act.attempt.wanted = false;
    const before = JSON.stringify(this.#run);
    act.act.after();
    // Whoever ends a run that he never opened has replaced nobody.
    const replaced = asking.includes(act.act.name) && JSON.stringify(this.#run) !== before;
    for (const one of this.held) if (one.act === act.act || replaced) one.late = true;
    await this.#schedule();
  }

  /** The worker is stopped in the middle; another one gets the next attempt. */
  async hold(): Promise<void> {
    const act = this.#execution?.act;
    if (!act) return;
    this.#freeze(act.attempt);
    await this.#scheduleAttempt(act.act);
  }

  /** The worker is stopped, and whatever it did is not done any more: the run is aborted. */
  async abort(): Promise<void> {
    const execution = this.#execution;
    if (!execution || execution.phase === 'ending') return;
    if (execution.act) this.#freeze(execution.act.attempt);
    execution.phase = 'ending';
    await this.#schedule();
  }

  /** The worker is stopped, and the execution is gone without a word. */
  terminate(): void {
    if (this.#execution?.act) this.#freeze(this.#execution.act.attempt);
    this.#execution = undefined;
  }

  /** Chooses between what may follow. */
  choice = 0;
  /** Broken on purpose: whoever asks Temporal is told that it is wanted. */
  believing = false;

  #freeze(attempt: Attempt): void {
    attempt.wanted = false;
    attempt.late = asking.includes(attempt.name);
    this.held.push(attempt);
  }

  /** One that was stopped, if it is late, or (`beside`) another attempt of what is due now. */
  stopped(n: number, beside = false): Attempt | undefined {
    const due = this.#execution?.act?.act;
    const all = this.held.filter((one) => one.late || (beside && one.act === due));
    return all[n % Math.max(1, all.length)];
  }

  async #schedule(): Promise<void> {
    const execution = this.#execution;
    if (!execution) return;
    delete execution.act;
    if (execution.phase === 'over') this.#execution = undefined;
    else await this.#scheduleAttempt(this.#next(execution));
  }

  async #scheduleAttempt(act: Act): Promise<void> {
    const attempt: Attempt = { name: act.name, act, wanted: true, late: false, run: () => Promise.resolve() };
    const run = await act.attempt(++this.#time, () => Promise.resolve(attempt.wanted || this.believing));
    attempt.run = run;
    this.#execution!.act = { act, attempt };
  }

  #next(execution: Execution): Act {
    const pick = (...acts: (() => Act)[]): Act => acts[this.choice % acts.length]!();
    switch (execution.phase) {
      case 'opening':
        return this.#open(execution);
      case 'ready':
        return (this.#done.get(execution.generation!) ?? SLICE) >= SLICE
          ? pick(
              () => this.#close(execution),
              () => this.#work(execution),
            )
          : this.#work(execution);
      case 'working':
        return pick(
          () => this.#chunk(execution),
          () => this.#chunk(execution),
          () => this.#ended(execution, 'done'),
          () => this.#ended(execution, 'failed'),
        );
      case 'failed':
        return this.#look(execution);
      case 'parked':
        return pick(
          () => this.#look(execution),
          () => this.#work(execution),
          () => this.#skip(execution),
        );
      case 'ending':
      case 'over':
        return this.#settle(execution);
    }
  }

  #open(execution: Execution): Act {
    const { id, force } = execution;
    const about = {
      pipeline: 'stale',
      dataDate: '2026-11-21',
      scope: this.#place.key.split('/')[2]!,
      owner: '',
      input: {},
    };
    const run = { runKey: this.#place.key, workflowId: this.#place.key, execution: id, ...about };
    return {
      name: 'open',
      attempt: (_at, isWanted) =>
        Promise.resolve(async () => void (await openRun(this.#place.pool, run, { force, isWanted }))),
      after: () => {
        const before = this.#run;
        if (before?.state === 'done' && !force) {
          execution.phase = 'over';
          return;
        }
        const again = before && ['done', 'aborted'].includes(before.state);
        execution.generation = (before?.generation ?? 1) + (again ? 1 : 0);
        this.#run = { generation: execution.generation, state: 'running', openedBy: id };
        this.#parks = [];
        execution.phase = 'ready';
      },
    };
  }

  #at({ id, generation }: Execution, attemptAt: number): StageAt {
    return { runKey: this.#place.key, generation: generation!, stage: STAGE, execution: id, attemptAt };
  }

  #closer({ id, generation }: Execution, isWanted: Closer['isWanted']): Closer {
    return { generation, execution: id, isWanted };
  }

  #work(execution: Execution): Act {
    const { park } = execution;
    return {
      name: 'work',
      attempt: (at) =>
        Promise.resolve(async () => {
          const place = this.#at(execution, at);
          if (park) await removePark(this.#place.pool, place, park.token);
          await writeStageStarted(this.#place.pool, place, 1, 'worker');
          await leased(this.#place, place, async () => undefined);
        }),
      after: () => {
        this.#unpark(execution);
        this.#stage.set(execution.generation!, 'running');
        this.#done.set(execution.generation!, this.#done.get(execution.generation!) ?? 0);
        execution.phase = 'working';
      },
    };
  }

  #chunk(execution: Execution): Act {
    return {
      name: 'chunk',
      // The lease is taken before the worker is stopped.
      attempt: async (at) => {
        let lease: Lease | undefined;
        const stage = this.#at(execution, at);
        await leased(this.#place, stage, (taken) => Promise.resolve(void (lease = taken)));
        return () => commitNext(this.#place, stage, lease!);
      },
      after: () => {
        const { generation } = execution;
        this.#done.set(generation!, Math.min(SLICE, this.#done.get(generation!)! + STEP));
      },
    };
  }

  #ended(execution: Execution, state: 'done' | 'failed'): Act {
    const failed = failure('http_500');
    return {
      name: state,
      attempt: (at) =>
        Promise.resolve(async () => {
          const place = this.#at(execution, at);
          const ended = { failure: failed, attempts: 1, elapsedMs: 0, why: 'attempts spent' as const };
          if (state === 'failed') {
            const told = { attempt: 1, attemptsMax: 1, ended, nextDelayMs: undefined, worker: 'worker' };
            await writeAttempt(this.#place.pool, place, told);
          }
          await writeStageEnded(this.#place.pool, place, { state, attempt: 1, worker: 'worker' });
        }),
      after: () => {
        this.#stage.set(execution.generation!, state);
        execution.phase = state === 'done' ? 'ready' : 'failed';
      },
    };
  }

  #look(execution: Execution): Act {
    const since = ++this.#time;
    const told = { failure: failure('http_500'), attempts: 1, elapsedMs: 0, why: 'attempts spent' as const };
    const park = (execution.park ??= { token: `token-${since}`, since, until: 'decision', ...told });
    const { id, generation } = execution;
    const place = { runKey: this.#place.key, workflowId: this.#place.key, stage: STAGE, generation, execution: id };
    return {
      name: 'look',
      attempt: () =>
        Promise.resolve(() =>
          withClient(this.#place.pool, (client) =>
            inTransaction(client, async () => void (await writePark(client, place, park, 'asking'))),
          ),
        ),
      after: () => {
        this.#parks = [park.token];
        this.#run!.state = 'asking';
        this.#stage.set(generation!, 'asking');
        execution.phase = 'parked';
      },
    };
  }

  #skip(execution: Execution): Act {
    const { token } = execution.park!;
    const decidedAt = ++this.#time;
    return {
      name: 'skip',
      attempt: () =>
        Promise.resolve(async () => {
          const place = this.#at(execution, decidedAt);
          await writeStageState(this.#place.pool, place, 'skipped');
          await removePark(this.#place.pool, place, token);
        }),
      after: () => {
        this.#unpark(execution);
        this.#stage.set(execution.generation!, 'skipped');
        execution.phase = 'ready';
      },
    };
  }

  #unpark(execution: Execution): void {
    if (!execution.park) return;
    delete execution.park;
    this.#parks = [];
    this.#run!.state = 'running';
  }

  #close(execution: Execution): Act {
    return {
      name: 'close',
      attempt: (_at, isWanted) =>
        Promise.resolve(
          async () =>
            void (await closeRun(this.#place.pool, this.#place.key, { by: this.#closer(execution, isWanted) })),
        ),
      after: () => this.#end(execution, 'done'),
    };
  }

  #settle(execution: Execution): Act {
    const abort = { state: 'aborted', actor: 'ada', reason: 'test' } as const;
    return {
      name: 'settle',
      attempt: (_at, isWanted) =>
        Promise.resolve(
          async () =>
            void (await abortRun(this.#place.pool, this.#place.key, abort, this.#closer(execution, isWanted))),
        ),
      after: () => {
        if (execution.generation === undefined) execution.phase = 'over';
        else this.#end(execution, 'aborted');
      },
    };
  }

  #end(execution: Execution, state: 'done' | 'aborted'): void {
    const { generation } = execution;
    this.#run!.state = state;
    this.#parks = [];
    const stage = this.#stage.get(generation!);
    if (state === 'aborted' && stage && ['running', 'asking'].includes(stage)) this.#stage.set(generation!, 'aborted');
    execution.phase = 'over';
  }
}
