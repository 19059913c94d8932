// What is promised here: flows that follow one another share connections, each under the name of its own lease, and none outlives its stage.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { flow, type Sink, transform } from '../../src/flow/index.ts';
import { keepingConnections } from '../../src/flow/connections.ts';
import { table } from '../../src/flow/table.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
const into = table('kept', { text: 'text' });
beforeAll(async () => {
  sink = await testSink();
  await sink.pool.query(
    'create table kept (source_id bigint, "offset" bigint, text text, primary key (source_id, "offset"))',
  );
});
afterAll(() => sink.end());

const names = async (): Promise<string[]> => {
  const { rows } = await sink.pool.query<{ pid: number; name: string }>(
    `select application_name as name, pid from pg_stat_activity where datname = current_database() and application_name like 'mf:%' order by pid`,
  );
  return rows.map(({ pid, name }) => `${pid} ${name}`);
};
const load = (over: Sink, stage: string, generation = 1) =>
  flow({
    from: memorySource(
      lines(3, (at) => `${stage} ${at}`),
      stage,
    ),
    steps: [transform((text: string) => ({ text }))],
    into,
    sink: over,
    lanes: 1,
  }).run(contextOf({ stage, generation }));

it('are kept between two flows, renamed for the next, and closed with the stage', async () => {
  const kept = keepingConnections(sink);
  await load(kept.sink, 'load[a]');
  const first = await names();
  await load(kept.sink, 'load[b]');
  const second = await names();
  const pids = (all: string[]): string[] => all.map((one) => one.split(' ')[0]!);
  const leases = (all: string[]): Set<string> => new Set(all.map((one) => one.split(':')[1]!));
  expect(first).toHaveLength(2);
  expect(pids(second)).toEqual(pids(first));
  expect(leases(first).size).toBe(1);
  expect(leases(second)).not.toEqual(leases(first));
  await kept.close();
  await expect.poll(names).toEqual([]);
});

it('are opened anew where a take-over has ended them, and where one was prepared for rows that may be there', async () => {
  const kept = keepingConnections(sink);
  await load(kept.sink, 'load[c]');
  // Another attempt takes the lease that these served last.
  await load(sink, 'load[c]');
  await expect.poll(names).toEqual([]);
  expect(await load(kept.sink, 'load[d]')).toMatchObject({ done: true, out: { loaded: 3 } });
  const before = await names();
  expect(await load(kept.sink, 'load[e]', 2)).toMatchObject({ done: true });
  expect(await names()).not.toEqual(before);
  expect(await load(kept.sink, 'load[e]', 2)).toMatchObject({ done: true });
  await kept.close();
  await expect.poll(names).toEqual([]);
});

it('are closed after a failure, and none goes to the next flow', async () => {
  const kept = keepingConnections(sink);
  const wrong = flow({
    from: memorySource('a\n', 'wrong'),
    steps: [transform((text: string) => ({ text }))],
    into: table('nowhere', { text: 'text' }),
    sink: kept.sink,
  });
  await expect(wrong.run(contextOf({ stage: 'load[w]' }))).rejects.toMatchObject({ failure: { code: 'pg_schema' } });
  await expect.poll(names).toEqual([]);
  await kept.close();
});
