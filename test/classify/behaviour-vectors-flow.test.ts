// What is promised here: the four behaviour vectors about records hold on a real database (the others: test/model/behaviour-vectors.test.ts).
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { flow, json, parse, table, transform, validate } from '../../src/flow/index.ts';
import { classify } from '../../src/model/classify.ts';
import { CodedError } from '../../src/model/failure.ts';
import { standard } from '../../src/model/policy.ts';
import { afterFailure, emptyTally, grantOf } from '../../src/model/retry-clock.ts';
import { armFailpoints } from '../../src/store/failpoint.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { listLetters, showLetter } from '../../src/store/letters.ts';
import { contextOf, lines, memorySource, testSink } from '../flow/memory.ts';

const file = join(import.meta.dirname, '../../../shared/data/http/behaviour-vectors/vectors.tsv');
const absent = !existsSync(file);
if (absent) console.warn(`Skipped: the behaviour vectors are not there (${file}).`);

const into = table('orders', { id: 'bigint', value: 'text', data_date: 'date', generation: 'integer' });
const line = (index: number): string => JSON.stringify({ id: index, value: `value-${index}` });
const record = z.object({ id: z.number().int(), value: z.string() });

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  if (absent) return;
  sink = await testSink();
  await sink.pool.query(
    'create table orders (source_id bigint, "offset" bigint, id bigint, value text, data_date date, generation int, primary key (source_id, "offset"))',
  );
});
afterAll(() => sink?.end());
afterEach(async () => {
  armFailpoints('');
  await sink?.pool.query('delete from orders');
});
const ids = async (): Promise<number[]> =>
  (await sink.pool.query<{ id: string }>('select id from orders order by "offset"')).rows.map(({ id }) => Number(id));

/** Runs attempts as the guard does, without its waits, until the stage is done; answers how many there were. */
async function attempts(run: () => Promise<unknown>): Promise<{ attempts: number; end: unknown }> {
  let tally = emptyTally;
  for (let attempt = 1; ; attempt++) {
    try {
      return { attempts: attempt, end: await run() };
    } catch (error) {
      // A failpoint throws what nobody knows; it stands for a connection that broke.
      const named = classify(error).code === 'unknown' ? new CodedError('pg_connection_lost') : error;
      const next = afterFailure(tally, classify(named), {
        policy: standard,
        grant: grantOf(standard),
        now: 0,
        random: 0.5,
        progressed: false,
      });
      if (next.next === 'stop') throw error;
      tally = next.tally;
    }
  }
}

describe.skipIf(absent)('behaviour vectors on a database', () => {
  it('dq-01 of 1,000 records 999 are delivered in order, and one is a letter with origin, class and message', async () => {
    // A transform may not call anything, so what fails once and is worth a retry is the sink.
    const steps = [
      parse(json),
      validate(record.refine(({ id }) => id !== 7, { path: ['value'], message: "Error when value='value-7'" })),
    ];
    armFailpoints('chunk.midCopy:throw@1');
    const job = flow({ from: memorySource(lines(1_000, line)), steps, into, sink });
    const done = await attempts(() => job.run(contextOf({ runKey: 'v/dq' })).finally(() => armFailpoints('')));
    expect(done).toMatchObject({ attempts: 2, end: { done: true, out: { read: 1_000, loaded: 999, quarantined: 1 } } });
    expect(await ids()).toEqual(Array.from({ length: 1_000 }, (_, index) => index).filter((id) => id !== 7));
    const letters = await listLetters(sink.pool, { runKey: 'v/dq' });
    expect(letters).toHaveLength(1);
    const letter = (await showLetter(sink.pool, letters[0]!.id, sink.seal))!;
    expect(letter).toMatchObject({ line: 8, code: 'record_invalid' });
    expect(JSON.stringify(letter)).toContain("Error when value='value-7'");
    expect(await closeRun(sink.pool, 'v/dq')).toMatchObject({ balanced: true });
  });

  it('sk-01 one item of a chunk cannot be processed: one skip, and the others of the chunk are written', async () => {
    const steps = [
      parse(json),
      validate(record),
      transform((row: z.infer<typeof record>) => (row.id === 3 ? null : row)),
    ];
    const job = flow({ from: memorySource(lines(6, line)), steps, into, sink });
    expect(await job.run(contextOf({ runKey: 'v/sk' }))).toEqual({
      done: true,
      out: { read: 6, loaded: 5, duplicate: 0, quarantined: 0, skipped: 1 },
    });
    expect(await ids()).toEqual([0, 1, 2, 4, 5]);
  });

  it('rs-01 a failure past the second of five trades, two at a time: two are committed, then all five, none twice', async () => {
    const job = flow({
      from: memorySource(lines(5, line)),
      steps: [parse(json), validate(record)],
      into,
      sink,
      recordsMax: 2,
      lanes: 1,
    });
    armFailpoints('chunk.beforeCommit:throw@2');
    await expect(job.run(contextOf({ runKey: 'v/rs' }))).rejects.toThrow();
    expect(await ids()).toEqual([0, 1]);
    armFailpoints('');
    expect(await job.run(contextOf({ runKey: 'v/rs' }))).toMatchObject({ done: true, out: { read: 5, loaded: 5 } });
    expect(await ids()).toEqual([0, 1, 2, 3, 4]);
    expect(await closeRun(sink.pool, 'v/rs')).toMatchObject({ balanced: true, loaded: 5 });
  });

  it('rt-01 the writer fails twice, then works: done, and it was called twice more than it has chunks', async () => {
    let failures = 2;
    let written = 0;
    const job = flow({
      from: memorySource(lines(8, line)),
      steps: [parse(json), validate(record)],
      into,
      sink,
      recordsMax: 2,
      lanes: 1,
    });
    const done = await attempts(() => {
      armFailpoints(failures-- > 0 ? 'chunk.beforeCommit:throw@1' : '');
      return job.run(contextOf({ runKey: 'v/rt', onChunk: () => written++ }));
    });
    expect(done).toMatchObject({ attempts: 3, end: { done: true, out: { loaded: 8 } } });
    // Four chunks were written; each of the two failed attempts had called the writer once.
    expect(written + done.attempts - 1).toBe(4 + 2);
    expect(await ids()).toHaveLength(8);
  });
});
