// What lives here: making sure that the run a flow belongs to is in the ledger.
// Invariant: never changes a run that is there.
// Apart from the engine's statements about runs, because a flow also works in a script, without an engine.
import type { FlowContext } from '../flow/context.ts';
import type { Db } from './db.ts';

/** Inserts the run of a flow that nobody opened: in a script, a test, or an activity of a workflow that is not ours. */
export async function ensureRun(
  db: Db,
  run: Pick<FlowContext, 'runKey' | 'pipeline' | 'dataDate' | 'generation'>,
): Promise<void> {
  const plain = `${run.pipeline}/${run.dataDate}`;
  // A script may name its run as it likes; the whole name is then the scope, so that two such runs are two.
  const scope =
    run.runKey === plain ? '' : run.runKey.startsWith(`${plain}/`) ? run.runKey.slice(plain.length + 1) : run.runKey;
  await db.query(
    `insert into mendflow.run (key, pipeline, data_date, scope, generation) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [run.runKey, run.pipeline, run.dataDate, scope, run.generation],
  );
}
