// What lives here: what the database and the upstream's own log say about the scenes with the upstream.
// Invariant: nothing is taken from what the scenes told; the rows are compared with the file the upstream serves, which never passed the pipeline.
// Apart from the scenes so that whoever doubts them reads how it was counted.
import type { Pool } from 'pg';
import { peakPerSecond } from '../upstream/log.ts';
import { quakes as served } from '../upstream/quakes.ts';
import { type Expired, MAIN_API, type Outage, type Quakes } from './quakes.ts';

const good = (right: boolean, text: string): string => `${right ? '✔' : '✖'} ${text}`;

/** `dates`: all that were asked for. */
export async function countQuakes(
  pool: Pool,
  { upstream }: Quakes,
  scenes: { blip: readonly string[]; outage: Outage; expired: Expired },
  since: Date,
): Promise<[string, string, string][]> {
  const { blip, outage, expired } = scenes;
  const all = [...new Set([...blip, ...outage.runs, ...expired.runs])];
  const one = async (sql: string, values: unknown[]): Promise<number> =>
    Number((await pool.query<{ n: string }>(sql, values)).rows[0]!.n);
  const decisions = (runs: readonly string[]): Promise<number> =>
    one('select count(*) as n from mendflow.decision where taken and run_key = any($1) and at >= $2', [runs, since]);
  const done = await one("select count(*) as n from mendflow.run where state = 'done' and key = any($1)", [all]);
  const healed = await one(
    "select count(*) as n from mendflow.attempt where code = 'http_502' and run_key = any($1) and at >= $2",
    [blip, since],
  );
  const expected = served().filter(({ properties: { time } }) =>
    all.includes(`daily-report/${new Date(time).toISOString().slice(0, 10)}`),
  ).length;
  const rows = await one('select count(*) as n from quakes where data_date = any($1::date[])', [
    all.map((run) => run.slice('daily-report/'.length)),
  ]);
  const { trials, calls } = await whileOpen(pool, upstream.log(), since);
  const throttled = upstream.log().filter(({ status }) => status === 429).length;
  return [
    ['days of earthquakes asked for', String(all.length), good(done === all.length, `${done} done and balanced`)],
    ['earthquakes of these days in the file', String(expected), ''],
    ['rows in quakes', String(rows), good(rows === expected, 'equal')],
    ['answers of 502', String(healed), good(healed === 1, 'tried again by itself')],
    [
      'runs parked by the outage',
      String(outage.parked),
      good(
        (await decisions(outage.runs.filter((run) => !expired.runs.includes(run)))) === 0,
        'all done, with no decision',
      ),
    ],
    [
      'calls while its breaker was open',
      String(calls),
      good(
        // A call that was let through a moment before may arrive a moment after.
        calls <= trials + outage.runs.length + expired.runs.length,
        `${trials} trials, by the upstream's own log${calls > trials ? `; ${calls - trials} more were under way as it opened` : ''}`,
      ),
    ],
    [
      'answers of 429',
      String(throttled),
      good(throttled === 0, `at most ${peakPerSecond(upstream.log())} calls in any second`),
    ],
    [
      'questions about the credential',
      String(expired.asked),
      good(
        expired.asked === 1 && (await decisions(expired.runs)) === 1,
        `one decision for ${expired.runs.length} runs`,
      ),
    ],
  ];
}

/** What reached the upstream between the opening of its breaker and the first trial that passed. */
async function whileOpen(
  pool: Pool,
  log: ReturnType<Quakes['upstream']['log']>,
  since: Date,
): Promise<{ trials: number; calls: number }> {
  const { rows } = await pool.query<{ to: string; at: number }>(
    `select to_state as "to", extract(epoch from at)::float8 * 1000 as at from mendflow.breaker_event
     where key = $1 and kind = 'move' and at >= $2 order by id`,
    [MAIN_API, since],
  );
  let [trials, calls] = [0, 0];
  let openedAt: number | undefined;
  for (const { to, at } of rows) {
    if (to === 'open') openedAt ??= at;
    if (to === 'half_open') trials++;
    if (to !== 'ramping' || openedAt === undefined) continue;
    calls += log.filter((line) => line.at > openedAt! && line.at <= at).length;
    openedAt = undefined;
  }
  return { trials, calls };
}
