// What lives here: the runs under way on a cluster, replayed against the workflow code of this folder.
// Invariant: reads only; at most so many histories as asked for, and it says how many it left out.
// Apart because it is the one check that looks at a cluster.
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime, Worker } from '@temporalio/worker';
import { reservedNames } from '../../model/spec.ts';
import { shellWord } from '../../model/shell.ts';
import { messageOf, type Part, part } from './check-parts.ts';

export interface Replay {
  readonly client: Client;
  /** Only runs on this task queue are ours to judge: a cluster may be shared. */
  readonly taskQueue: string;
  /** The bundle of the working tree. */
  readonly code: string;
  readonly pipelines: readonly string[];
  readonly runsMax: number;
  readonly dataConverter: DataConverter | undefined;
  /** Silences the SDK of this process; only where it runs no worker. */
  readonly quiet?: boolean;
}

/** Names the runs that would break if this code were deployed now, and what can be done about each. */
export async function checkHistories(replay: Replay): Promise<Part> {
  const { client, taskQueue, pipelines, runsMax } = replay;
  const open: { workflowId: string; runId: string; type: string }[] = [];
  // `watch` and the recoveries of upstreams are replayed like runs, and are none.
  const own: typeof open = [];
  const all = client.workflow.list({ query: `ExecutionStatus = 'Running' AND TaskQueue = '${taskQueue}'` });
  let more = false;
  for await (const { workflowId, runId, type } of all) {
    if (reservedNames.includes(type)) {
      own.push({ workflowId, runId, type });
      continue;
    }
    more = open.length >= runsMax;
    if (more) break;
    open.push({ workflowId, runId, type });
  }
  const orphans = open.filter(({ type }) => !pipelines.includes(type));
  const faults = orphans.map(
    ({ workflowId, type }) =>
      `Run ${workflowId} is of the pipeline "${type}", which this folder does not have: it would fail at its next step. Keep the pipeline until the run has ended, or end it: mendflow abort ${shellWord(workflowId)} --reason "…".`,
  );
  const ours = [...own, ...open.filter(({ type }) => pipelines.includes(type))];
  if (ours.length > 0) {
    // A runtime that is installed and then replays nothing would keep the process from ending.
    if (replay.quiet) silenceReplays();
    faults.push(...(await broken(replay, ours)));
  }
  const left = more ? ` There are more; only ${runsMax} were looked at (--runs-max).` : '';
  return part(
    'histories',
    `${open.length} ${open.length === 1 ? 'run' : 'runs'} under way, replayed with the code of this folder.${left}`,
    faults,
  );
}

async function broken(
  { client, code, dataConverter }: Replay,
  runs: readonly { workflowId: string; runId: string }[],
): Promise<string[]> {
  async function* histories() {
    for (const { workflowId, runId } of runs)
      yield { workflowId, history: await client.workflow.getHandle(workflowId, runId).fetchHistory() };
  }
  const faults: string[] = [];
  const options = { workflowBundle: { code }, ...(dataConverter ? { dataConverter } : {}) };
  for await (const { workflowId, error } of Worker.runReplayHistories(options, histories()))
    if (error)
      faults.push(
        `Run ${workflowId} cannot go on with this code: ${reasonOf(error)} It would stall, losing nothing. Deploy after it has ended or parked for ten minutes (a parked run begins anew with the code of the day), put back the order of calls it has made, or abort it and start it again: what is loaded stays loaded once.`,
      );
  return faults;
}

/** What a replay logs is what it then returns; said twice it reads like two faults. Once per process, before the first replay. */
const silenceReplays = (): void =>
  void Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
  });

/** The SDK wraps the one sentence that matters in a printed structure. */
const reasonOf = (error: Error): string => {
  const said = messageOf(error);
  return `${/Nondeterminism error: ([^"]*)/.exec(said)?.[1] ?? said.split('\n')[0] ?? said}.`;
};
