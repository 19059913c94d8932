// What lives here: the scenes about an upstream: a 502, an outage, a credential that expired.
// Invariant: the upstream is a real server that only does as its script says; nothing tells Mendflow that it is away or back.
// Apart because these show healing with nobody there; the others show a kill and a question.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { eventLine } from '../../src/commands/support/breaker-words.ts';
import { breakerEvents } from '../../src/store/breakers.ts';
import { type DemoUpstream, startDemoUpstream } from '../upstream/upstream.ts';
import { type At, happens, mendflow } from './tell.ts';

export const MAIN_API = 'http:main_api';
const PATIENCE_MS = 90_000;

export interface Quakes {
  readonly upstream: DemoUpstream;
  readonly tokenFile: string;
}

/** The upstream, and what a worker has to know of it. */
export async function openQuakes(files: string): Promise<{ quakes: Quakes; env: Record<string, string> }> {
  const token = `first-${Date.now()}`;
  const tokenFile = join(files, 'quake-token');
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const upstream = await startDemoUpstream({ token });
  // A variable would win over the file.
  const env = { MENDFLOW_MAIN_API: upstream.address, QUAKE_TOKEN_FILE: tokenFile, QUAKE_TOKEN: '' };
  return { quakes: { upstream, tokenFile }, env };
}

const keyOf = (date: string): string => `daily-report/${date}`;

/** A day that an earlier story has done is processed again. */
async function startOf(pool: Pool, date: string): Promise<string[]> {
  const { rows } = await pool.query("select from mendflow.run where key = $1 and state = 'done'", [keyOf(date)]);
  return ['start', 'daily-report', '--date', date, ...(rows.length > 0 ? ['--force'] : [])];
}

/** All at once, as a schedule would. */
async function startAll(pool: Pool, dates: readonly string[], at: At): Promise<void> {
  const starts = await Promise.all(dates.map((date) => startOf(pool, date)));
  await Promise.all(starts.map((start) => mendflow(start, { ...at, show: 'command' })));
}

/** One answer of 502 in the middle of a day's pages. */
export async function healBlip({ upstream }: Quakes, pool: Pool, at: At): Promise<readonly string[]> {
  upstream.script([{ on: 'query', from: 2, count: 1, fault: { kind: 'status', status: 502 } }]);
  happens('The second page of this day will be answered with 502, once:');
  await mendflow([...(await startOf(pool, '2018-02-01')), '--wait'], at);
  return ['2018-02-01'].map(keyOf);
}

export interface Outage {
  readonly runs: readonly string[];
  /** How many had to wait, as the database said while they did. */
  readonly parked: number;
}

/** Everything is answered with 503 until a probe has failed; then it is well again. */
export async function seeOutage({ upstream }: Quakes, pool: Pool, at: At): Promise<Outage> {
  const dates = ['2018-02-02', '2018-02-03', '2018-02-04', '2018-02-05'];
  const runs = dates.map(keyOf);
  upstream.script([{ on: 'any', fault: { kind: 'status', status: 503 } }]);
  happens('From now on the upstream answers everything with 503. Four days are asked for:');
  const probes = (): number => upstream.log().filter(({ route }) => route === 'health').length;
  const probesBefore = probes();
  const watch = await watching(pool, runs);
  await startAll(pool, dates, at);
  const waiting = await watch.until('all of them wait', async () => {
    const { parked } = await statesOf(pool, runs);
    return parked === runs.length ? parked : undefined;
  });
  await mendflow(['breakers', 'list'], at);
  happens('They hold no connection and no slot. Once in each cooldown one probe goes; the runs send nothing.');
  await watch.until('a probe has failed', async () => (probes() > probesBefore ? true : undefined));
  upstream.script([]);
  happens('Now the upstream is well again. Nobody tells Mendflow:');
  await watch.until('all are done', async () => ((await statesOf(pool, runs)).done === runs.length ? true : undefined));
  return { runs, parked: waiting };
}

export interface Expired {
  readonly runs: readonly string[];
  readonly asked: number;
  readonly parked: number;
}

/** The credential of all runs expires; one asks, a person answers once. */
export async function renewCredential({ upstream, tokenFile }: Quakes, pool: Pool, at: At): Promise<Expired> {
  const dates = ['2018-02-06', '2018-01-31', '2018-02-01'];
  const runs = dates.map(keyOf);
  const token = `second-${Date.now()}`;
  upstream.rotate(token);
  happens('The upstream does not accept the old credential any more. Three days are asked for, one of them again:');
  const watch = await watching(pool, runs);
  await startAll(pool, dates, at);
  const { asking, parked } = await watch.until('all of them wait', async () => {
    const states = await statesOf(pool, runs);
    return states.asking + states.parked === runs.length ? states : undefined;
  });
  await mendflow(['runs', '--state', 'asking'], at);
  happens(
    `One question for ${runs.length} runs. An operator puts the new credential where the worker reads it, and answers:`,
  );
  writeFileSync(tokenFile, token, { mode: 0o600 });
  await mendflow(['retry', '--all', '--upstream', MAIN_API, '--reason', 'credential renewed', '--yes'], at);
  await watch.until('all are done', async () => ((await statesOf(pool, runs)).done === runs.length ? true : undefined));
  return { runs, asked: asking, parked };
}

interface States {
  readonly running: number;
  readonly parked: number;
  readonly asking: number;
  readonly done: number;
}

/** Of the generation that is open now, or was last. */
async function statesOf(pool: Pool, runs: readonly string[]): Promise<States> {
  const { rows } = await pool.query<States>(
    `select count(*) filter (where r.state = 'running')::int as running, count(*) filter (where r.state = 'parked')::int as parked,
       count(*) filter (where r.state = 'asking')::int as asking, count(*) filter (where r.state = 'done')::int as done
     from mendflow.run r where r.key = any($1)`,
    [runs],
  );
  return rows[0]!;
}

/** Tells what the breaker does and how the runs stand, whenever it changes, until something has come about. */
async function watching(pool: Pool, runs: readonly string[]) {
  let seen = (await breakerEvents(pool, MAIN_API, 1))[0]?.at ?? 0;
  let stood = '';
  const look = async (): Promise<void> => {
    const events = (await breakerEvents(pool, MAIN_API, 50)).filter(({ at }) => at > seen).toReversed();
    for (const event of events) {
      happens(`${clock(event.at)}  ${MAIN_API}  ${eventLine(event)}`);
      seen = event.at;
    }
    const stands = Object.entries(await statesOf(pool, runs)).flatMap(([state, count]) =>
      count > 0 ? [`${count} ${state}`] : [],
    );
    if (stands.length === 0 || stands.join(', ') === stood) return;
    stood = stands.join(', ');
    happens(`${clock(Date.now())}  runs           ${stood}`);
  };
  return {
    until: async <T>(what: string, come: () => Promise<T | undefined>): Promise<T> => {
      const end = Date.now() + PATIENCE_MS;
      for (;;) {
        await look();
        const found = await come();
        if (found !== undefined) return found;
        if (Date.now() > end)
          throw new Error(
            `After ${PATIENCE_MS / 1_000} s it is still not so that ${what} (${stood}). See \`mendflow runs\`.`,
          );
        await sleep(200);
      }
    },
  };
}

const clock = (at: number): string => `${new Date(at).toISOString().slice(11, 19)}Z`;
