// What lives here: what `doctor` looks at: one function per thing, each with what is wrong and the command that mends it.
// Invariant: a check changes nothing and ends within seconds; what cannot be looked at says why, never "ok".
// Apart from the command because each check is a small client of another part of the house.
import { hostname } from 'node:os';
import type { Connection } from '@temporalio/client';
import proto, { type temporal } from '@temporalio/proto';
import type { Pool } from 'pg';
import type { Config } from '../../config.ts';
import { searchAttributes } from '../../engine/search-attributes.ts';
import { classify } from '../../model/classify.ts';
import { inWords } from '../../model/duration.ts';
import { queues } from '../../model/ids.ts';
import { shellWord, startCommand } from '../../model/shell.ts';
import { isSuspended, type StackStatus, startOf } from '../../stack/index.ts';
import { wrongClocks } from '../../store/clocks.ts';
import { SERVER_VERSION_MIN } from '../../store/db.ts';
import { checkSchema } from '../../store/schema.ts';
import { listBreakers } from '../../store/breakers.ts';
import { findRun, parkedWorkflows, runsByState } from '../../store/reads.ts';
import { listStalled } from '../../store/stalled.ts';
import { nobodyWaits, waitsByUpstream } from '../../store/waits.ts';
import { nextOf, stateOf, waitsLine } from './breaker-words.ts';
import { resume } from './idle.ts';

export interface Check {
  readonly name: string;
  /** `note`: worth knowing, nothing is wrong. `unknown`: could not be looked at. */
  readonly state: 'ok' | 'note' | 'wrong' | 'unknown';
  readonly says: string;
  /** The command or setting that mends it. */
  readonly mend?: string;
}

/** Lowest supported Node: 20.19. */
const NODE_MIN = [20, 19] as const;
/** Clocks further apart make "next try" on a page and in fact two things. */
const CLOCK_MAX_MS = 5_000;
const PARKED_LOOKED_AT_MAX = 20;
/** A long poll of a minute, and some patience. */
const POLL_AGE_MAX_MS = 75_000;

export function nodeCheck(version = process.versions.node): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const good = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  return good
    ? { name: 'Node', state: 'ok', says: version }
    : {
        name: 'Node',
        state: 'wrong',
        says: `${version} is too old`,
        mend: `Install Node ${NODE_MIN.join('.')} or newer.`,
      };
}

export function stackCheck(dir: string, { state, suspended, workers, workersWanted }: StackStatus): Check {
  const living = workers.filter(({ alive }) => alive).length;
  const name = 'Stack folder';
  if (state === 'up') return { name, state: 'ok', says: `${dir}: up, ${living} worker${living === 1 ? '' : 's'}` };
  if (state === 'down') return { name, state: 'note', says: `${dir}: no stack runs here`, mend: 'mendflow stack up' };
  if (suspended.length > 0)
    return {
      name,
      state: 'wrong',
      says: `${dir}: ${suspended.map(({ what, pid }) => `${what} stopped: process ${pid} is suspended`).join('; ')}`,
      mend: resume(suspended),
    };
  return {
    name,
    state: 'wrong',
    says: `${dir}: only partly up, ${living} of ${workersWanted} workers`,
    mend: 'mendflow stack up',
  };
}

export async function temporalChecks(connection: Connection, namespace: string): Promise<Check[]> {
  const info = await connection.workflowService.getSystemInfo({});
  const checks: Check[] = [{ name: 'Temporal', state: 'ok', says: `server ${info.serverVersion}` }];
  const described = await connection.workflowService.describeNamespace({ namespace }).catch(() => undefined);
  if (!described)
    return [
      ...checks,
      {
        name: 'Namespace',
        state: 'wrong',
        says: `${namespace} does not exist, or this client may not see it`,
        mend: `temporal operator namespace create --namespace ${namespace}`,
      },
    ];
  const retentionMs = Number(described.config?.workflowExecutionRetentionTtl?.seconds ?? 0) * 1_000;
  checks.push({
    name: 'Namespace',
    state: 'ok',
    says: `${namespace}, closed runs are kept for ${inWords(retentionMs)} in Temporal and for good in the ledger`,
  });
  return [...checks, await attributesCheck(connection, namespace)];
}

async function attributesCheck(connection: Connection, namespace: string): Promise<Check> {
  const name = 'Search attributes';
  const listed = await connection.operatorService.listSearchAttributes({ namespace }).catch(() => undefined);
  if (!listed) return { name, state: 'unknown', says: 'this client may not list them' };
  const known = listed.customAttributes ?? {};
  const missing = Object.keys(searchAttributes).filter((one) => known[one] === undefined);
  const wrong = Object.entries(searchAttributes).filter(
    ([one, type]) => known[one] !== undefined && known[one] !== type,
  );
  if (wrong.length > 0)
    return {
      name,
      state: 'wrong',
      says: `${wrong.map(([one]) => one).join(', ')} ${wrong.length === 1 ? 'has' : 'have'} another type than Mendflow's, so no worker starts`,
      mend: 'Use a namespace of its own for Mendflow, or rename the other attribute.',
    };
  if (missing.length > 0)
    return {
      name,
      state: 'wrong',
      says: `${missing.join(', ')} not registered yet; a worker registers them when it starts`,
      mend: 'mendflow stack up',
    };
  return { name, state: 'ok', says: `all ${Object.keys(searchAttributes).length} registered` };
}

export async function postgresChecks(pool: Pool): Promise<Check[]> {
  const asked = Date.now();
  const { rows } = await pool.query<{ number: number; shown: string; now: Date }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as shown, clock_timestamp() as now`,
  );
  const { number, shown, now } = rows[0]!;
  const checks: Check[] = [
    number >= SERVER_VERSION_MIN
      ? { name: 'Postgres', state: 'ok', says: shown }
      : {
          name: 'Postgres',
          state: 'wrong',
          says: `${shown}; Mendflow needs 15 or newer`,
          mend: 'Point DATABASE_URL at a newer server.',
        },
  ];
  const apartMs = Math.abs(now.getTime() - (asked + Date.now()) / 2);
  if (apartMs > CLOCK_MAX_MS)
    checks.push({
      name: 'Clock',
      state: 'wrong',
      says: `this machine and the database are ${inWords(apartMs)} apart`,
      mend: 'Synchronise the clocks (NTP).',
    });
  const schema = await checkSchema(pool).then(
    () => undefined,
    (error: unknown) => error,
  );
  checks.push(
    schema === undefined
      ? { name: 'Schema', state: 'ok', says: 'that of this release' }
      : unknown('Schema', schema, 'mendflow migrate'),
  );
  return checks;
}

/** Workers whose clocks are wrong; with none there is nothing to say. */
export async function clockChecks(pool: Pool): Promise<Check[]> {
  const wrong = await wrongClocks(pool, CLOCK_MAX_MS);
  return wrong.map(({ worker, aheadMs }) => ({
    name: 'Clock of a worker',
    state: 'wrong',
    says: `that of worker ${worker} is ${inWords(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} the database; waits and deadlines do not go by it, but the times in its log do`,
    mend: 'Synchronise the clock of that machine (NTP).',
  }));
}

/** Task queue types of Temporal. */
export const { TASK_QUEUE_TYPE_WORKFLOW: WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY: ACTIVITY } =
  proto.temporal.api.enums.v1.TaskQueueType;

interface Poller {
  readonly identity: string;
  readonly buildId: string;
}

/** Whom to ask about pollers, and what is known of the workers better than the server knows it. */
export interface Polled {
  readonly connection: Connection;
  readonly namespace: string;
  /** Whether this worker is known to have ended, or to be suspended. */
  readonly gone: (identity: string) => boolean;
}

/** The server goes on listing a worker that was killed or suspended. Those of a stack's own server run on this machine, where it is known who lives. */
export const goneWorkers =
  ({ temporal: given }: Config): Polled['gone'] =>
  (identity) => {
    const [pid, host] = identity.split('@');
    if (given !== undefined || host !== hostname()) return false;
    return startOf(Number(pid)) === undefined || isSuspended(Number(pid));
  };

/** Workers that poll a queue now, for workflows or for activities. */
export async function pollersOf(
  { connection, namespace, gone }: Polled,
  queue: string,
  type: temporal.api.enums.v1.TaskQueueType,
): Promise<Poller[]> {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: queue },
    taskQueueType: type,
  });
  // The server lists a poller for five minutes; a worker that lives polls again at least once a minute.
  const live = (pollers ?? []).filter(
    ({ identity, lastAccessTime }) =>
      Date.now() - Number(lastAccessTime?.seconds ?? 0) * 1_000 < POLL_AGE_MAX_MS && !gone(identity ?? ''),
  );
  return live.map(({ identity, workerVersionCapabilities, deploymentOptions }) => ({
    identity: identity ?? '',
    buildId: workerVersionCapabilities?.buildId || deploymentOptions?.buildId || '',
  }));
}

export async function workerChecks(polled: Polled, prefix: string): Promise<Check[]> {
  const { work, heal } = queues(prefix);
  const wanted = [
    { queue: work, type: WORKFLOW, of: 'workflows' },
    { queue: work, type: ACTIVITY, of: 'stages' },
    { queue: heal, type: ACTIVITY, of: 'parks and the ledger' },
  ] as const;
  return await Promise.all(
    wanted.map(async ({ queue, type, of }): Promise<Check> => {
      const pollers = await pollersOf(polled, queue, type);
      const workers = new Set(pollers.map(({ identity }) => identity)).size;
      const name = `Queue ${queue}`;
      return workers > 0
        ? { name, state: 'ok', says: `${workers} worker${workers === 1 ? '' : 's'} for ${of}` }
        : {
            name,
            state: 'wrong',
            says: `no worker polls it for ${of}; runs wait`,
            mend: 'mendflow stack up',
          };
    }),
  );
}

/** What runs wait for, and whether the code that parked them is still the code that will wake them. */
export async function runChecks(pool: Pool, polled: Polled, prefix: string): Promise<Check[]> {
  const { connection, namespace } = polled;
  const states = await runsByState(pool);
  const open = ['running', 'parked', 'asking', 'degraded'].flatMap((state) =>
    states[state] ? [`${states[state]} ${state}`] : [],
  );
  const checks: Check[] = [
    states['asking']
      ? { name: 'Runs', state: 'note', says: open.join(', '), mend: 'mendflow runs --state asking' }
      : { name: 'Runs', state: 'ok', says: open.length === 0 ? 'none open' : open.join(', ') },
  ];
  for (const { run, text, mend } of await listStalled(pool, PARKED_LOOKED_AT_MAX))
    checks.push({ name: 'Stalled run', state: 'wrong', says: `${run}: ${text}`, mend });
  const parked = await parkedWorkflows(pool, PARKED_LOOKED_AT_MAX);
  const pollers = await pollersOf(polled, queues(prefix).work, WORKFLOW);
  const current = new Set(pollers.map(({ buildId }) => buildId).filter((id) => id !== ''));
  if (parked.length === 0 || current.size === 0) return checks;
  const other: string[] = [];
  const gone: string[] = [];
  for (const { run, workflowId } of parked) {
    const found = await connection.workflowService
      .describeWorkflowExecution({ namespace, execution: { workflowId } })
      .catch(() => undefined);
    const buildId = found?.workflowExecutionInfo?.mostRecentWorkerVersionStamp?.buildId ?? '';
    if (!found || found.workflowExecutionInfo?.status !== RUNNING) gone.push(run);
    else if (buildId !== '' && !current.has(buildId)) other.push(`${run} (${buildId})`);
  }
  if (other.length > 0)
    checks.push({
      name: 'Parked runs',
      state: 'note',
      says: `${other.length} parked under other code than the ${[...current].join(', ')} of the workers: ${other.join(', ')}. They go on with the code that is deployed`,
      mend: 'mendflow check',
    });
  const first = gone.length > 0 ? await findRun(pool, gone[0]!) : undefined;
  if (gone.length > 0)
    checks.push({
      name: 'Parked runs',
      state: 'wrong',
      says: `${gone.length} wait in the ledger but no workflow works them: ${gone.join(', ')}`,
      mend: `${first ? startCommand(first) : `mendflow show ${shellWord(gone[0]!)}`}${gone.length > 1 ? ', and so each of the others' : ''}; committed data is not loaded twice`,
    });
  return checks;
}

/** Breakers that let nobody through, or are under an operator's word. Both end by themselves or by somebody who knows; neither is wrong here. */
export async function breakerChecks(pool: Pool): Promise<Check[]> {
  const [rows, waits] = await Promise.all([listBreakers(pool), waitsByUpstream(pool)]);
  const noteworthy = rows.filter(({ admit, state, mode }) => !admit || state !== 'closed' || mode !== 'auto');
  if (noteworthy.length === 0)
    return rows.length === 0 ? [] : [{ name: 'Breakers', state: 'ok', says: `${rows.length} closed` }];
  return noteworthy.map((row) => {
    const waiting = waits.get(row.key) ?? nobodyWaits;
    return {
      name: 'Breaker',
      state: 'note',
      says: `${row.key} is ${stateOf(row)}: ${waitsLine(waiting)}. ${nextOf(row, waiting, Date.now())}`,
      mend: `mendflow breakers show ${shellWord(row.key)}`,
    };
  });
}

const RUNNING = proto.temporal.api.enums.v1.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING;

/** A check that could not be made. */
export function unknown(name: string, error: unknown, mend: string): Check {
  const says =
    error instanceof Error && error.name.endsWith('Error') && 'failure' in error
      ? error.message
      : `${classify(error).text} ${error instanceof Error ? error.message : ''}`.trim();
  return { name, state: 'wrong', says, mend };
}
