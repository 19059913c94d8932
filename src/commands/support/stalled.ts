// What lives here: deciding about a run that cannot answer, because its workflow task fails at every try.
// Invariant: only the end of the run can be decided; it is ended in Temporal first, so that nothing of it can write afterwards.
// Apart from decisions that a run takes itself: here the command line does what the run would have done.
import type { Connected } from '../../connect.ts';
import type { DecisionKind } from '../../model/messages.ts';
import { abortRun } from '../../store/ledger.ts';
import { findRun } from '../../store/reads.ts';
import { writeDecisions } from '../../store/runs.ts';
import { removeStalled, type Stalled } from '../../store/stalled.ts';
import { CommandError, type Exit } from './exit-codes.ts';
import type { Session } from './session.ts';

export interface DecideStalled {
  readonly kind: DecisionKind;
  readonly reason: string;
  readonly actor: string;
  readonly stalled: Stalled;
}

export async function decideStalled(
  session: Session,
  { client, control }: Pick<Connected, 'client' | 'control'>,
  { kind, reason, actor, stalled }: DecideStalled,
): Promise<Exit> {
  const { run, workflowId, text, mend } = stalled;
  if (kind !== 'abort')
    throw new CommandError(
      'refused',
      `${run} stalls, so it takes no decision but abort. ${text} Nothing was changed. ${mend}`,
    );
  await terminateRun({ client, control }, { run, workflowId, reason, actor });
  await removeStalled(control, workflowId);
  session.terminal.line(
    `${session.terminal.style('green', 'Ended')}: ${run} was terminated; committed data stays, the rest is given up unread.`,
  );
  return 'ok';
}

/** Ends it in Temporal, and in the ledger if that knows it: it is asked afterwards, because a worker may have begun the run meanwhile. */
export async function terminateRun(
  { client, control }: Pick<Connected, 'client' | 'control'>,
  { run, workflowId, reason, actor }: { run: string; workflowId: string; reason: string; actor: string },
): Promise<void> {
  await client.workflow.getHandle(workflowId).terminate(`aborted by ${actor}: ${reason}`.slice(0, 500));
  if (!(await findRun(control, run))) return;
  await abortRun(control, run, { state: 'aborted', actor, reason });
  const text =
    'The run could not end by itself, so it was terminated; committed data stays, the rest is given up unread.';
  const kind = 'abort' as const;
  await writeDecisions(control, run, [
    { stage: '', token: '', kind, actor, reason, taken: true, text, at: Date.now() },
  ]);
}
