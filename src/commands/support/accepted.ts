// What lives here: runs that Temporal has accepted and that the control store does not know yet, because no worker has begun them.
// Invariant: asks Temporal alone and changes nothing; while it does not answer, nothing is said about such runs.
// Apart because it needs Temporal's client, which a command that found its run in the store must not load.
import { Connection, isGrpcServiceError } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { Connected } from '../../connect.ts';
import { inWords } from '../../model/duration.ts';
import { runOf, workflowId } from '../../model/ids.ts';
import type { DecisionKind } from '../../model/messages.ts';
import { shellWord } from '../../model/shell.ts';
import { underWay } from '../../stack/index.ts';
import { CommandError, type Exit } from './exit-codes.ts';
import type { Session } from './session.ts';
import { escaped, moment } from './terminal.ts';

export interface Accepted {
  readonly run: string;
  readonly workflowId: string;
  readonly since: Date;
  /** A worker has had it in hand, and has not written it to the store yet. */
  readonly begun: boolean;
}

const CONNECT_TIMEOUT_MS = 3_000;
/** Of more the oldest are not looked for by a part of their name. */
const LISTED_MAX = 500;
/** Of a run that no worker has had: its start, and the task that waits for a worker. */
const EVENTS_WAITING = 2;
/** INVALID_ARGUMENT, of what can be no name, and NOT_FOUND of gRPC. */
const NO_SUCH: ReadonlySet<number> = new Set([3, 5]);
const { WORKFLOW_EXECUTION_STATUS_RUNNING: RUNNING } = proto.temporal.api.enums.v1.WorkflowExecutionStatus;

/** The run of this whole key, or the only one that begins or ends like it, if there is one; `asked`: Temporal has answered. */
export async function findAccepted(session: Session, key: string): Promise<{ asked: boolean; accepted?: Accepted }> {
  const found = await asking(session, async ({ describe, list }) => {
    const exact = await describe(key);
    if (exact) return { exact };
    const like = (await list()).filter((run) => run.startsWith(key) || run.endsWith(key) || run.includes(`/${key}`));
    return { exact: like.length === 1 ? await describe(like[0]!) : undefined };
  });
  return { asked: found !== undefined, ...(found?.exact ? { accepted: found.exact } : {}) };
}

/** Runs that are open in Temporal, newest first; the caller knows which of them the store has. */
export const openInTemporal = async (session: Session): Promise<readonly string[]> =>
  (await asking(session, ({ list }) => list())) ?? [];

interface Asked {
  readonly describe: (key: string) => Promise<Accepted | undefined>;
  readonly list: () => Promise<string[]>;
}

/** Undefined where Temporal does not answer. */
async function asking<T>(session: Session, work: (asked: Asked) => Promise<T>): Promise<T | undefined> {
  const place = await session.temporal().catch(() => undefined);
  if (place === undefined) return undefined;
  const { namespace, connectionOptions } = place.temporal;
  const connection = await Connection.connect({ ...connectionOptions, connectTimeout: CONNECT_TIMEOUT_MS }).catch(
    () => undefined,
  );
  if (connection === undefined) return undefined;
  const { prefix } = session.config;
  const { workflowService } = connection;
  try {
    return await work({
      describe: async (run) => {
        const id = workflowId(prefix, run);
        const info = await workflowService.describeWorkflowExecution({ namespace, execution: { workflowId: id } }).then(
          (found) => found.workflowExecutionInfo,
          (error: unknown) =>
            isGrpcServiceError(error) && NO_SUCH.has(error.code) ? undefined : Promise.reject(error),
        );
        if (info?.status !== RUNNING) return undefined;
        const since = new Date(Number(info.startTime?.seconds ?? 0) * 1_000);
        return { run, workflowId: id, since, begun: Number(info.historyLength ?? 0) > EVENTS_WAITING };
      },
      list: async () => {
        const mine = prefix === '' ? '' : ` AND WorkflowId STARTS_WITH "${prefix}/"`;
        const query = `PipelineName IS NOT NULL AND ExecutionStatus = "Running"${mine}`;
        const { executions } = await workflowService.listWorkflowExecutions({ namespace, query, pageSize: LISTED_MAX });
        return (executions ?? []).map(({ execution }) => runOf(prefix, execution?.workflowId ?? ''));
      },
    });
  } catch {
    return undefined;
  } finally {
    await connection.close();
  }
}

/** `copy/2026-05-01 is accepted by Temporal since …, and waits for a worker; none has begun it. Start one by …` */
export function acceptedSays({ run, since, begun }: Accepted, { config }: Pick<Session, 'config'>): string {
  const at = `${moment(since)} (${inWords(Date.now() - since.getTime())} ago)`;
  if (begun)
    return `${escaped(run)} was accepted by Temporal at ${at}. A worker has it in hand and has not written it to the control store yet; \`mendflow doctor\` says what is wrong if that lasts.`;
  return `${escaped(run)} was accepted by Temporal at ${at} and waits for a worker; none has begun it, and nothing of it is loaded. ${workerBy(config.dir)}`;
}

/** How a worker comes to be. */
export const workerBy = (dir: string): string =>
  underWay(dir) ?? 'Start a worker by `mendflow stack up`; `mendflow doctor` says more.';

/** What `show` and `logs` print instead of a page. */
export async function tellAccepted(session: Session, accepted: Accepted, json: boolean): Promise<Exit> {
  const { run, since, begun } = accepted;
  const ui = await session.link(accepted.workflowId);
  if (json)
    session.terminal.json({
      run,
      state: 'accepted',
      acceptedAt: since,
      begun,
      workflowId: accepted.workflowId,
      links: ui === undefined ? {} : { ui },
    });
  else {
    session.terminal.line(acceptedSays(accepted, session));
    if (ui !== undefined) session.terminal.line(`  watch    ${ui}`);
    session.terminal.line(`  To end it instead: mendflow abort ${shellWord(run)} --reason "…"`);
  }
  return 'ok';
}

/** For a command that needs what only the store has. */
export const notBegun = (accepted: Accepted, session: Session): CommandError =>
  new CommandError('notFound', `${acceptedSays(accepted, session)} Nothing was done.`);

/** A run that no worker has begun can only be taken back; all else would wait for a worker to be refused by it. */
export async function decideAccepted(
  session: Session,
  connected: Pick<Connected, 'client' | 'control'>,
  accepted: Accepted,
  { kind, reason, actor, json }: { kind: DecisionKind; reason: string; actor: string; json: boolean },
): Promise<Exit> {
  const { run } = accepted;
  if (kind !== 'abort')
    throw new CommandError(
      'refused',
      `${acceptedSays(accepted, session)} It asks nothing yet, so it takes no decision but abort. Nothing was decided.`,
    );
  const { terminateRun } = await import('./stalled.ts');
  await terminateRun(connected, { run, workflowId: accepted.workflowId, reason, actor });
  const text = `${run} was terminated before a worker had begun it; nothing of it was loaded.`;
  if (json) session.terminal.json({ run, kind, taken: true, stage: '', text });
  else session.terminal.line(`${session.terminal.style('green', 'Ended')}: ${escaped(text)}`);
  return 'ok';
}
