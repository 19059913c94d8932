// What lives here: sending one decision to a run and reading its answer.
// Invariant: the same decision of the same person on the same question has one update ID, so repeating it asks for the answer and changes nothing;
// what a run refuses is written down here, because a refused Update leaves nothing in its history.
// Apart from the command because this half is Temporal's vocabulary, that half is the operator's.
import { createHash, randomUUID } from 'node:crypto';
import {
  isGrpcServiceError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import type { Connected } from '../../connect.ts';
import type { Decision, Outcome } from '../../model/messages.ts';
import { writeDecisions } from '../../store/runs.ts';
import { CommandError } from './exit-codes.ts';

/** No worker answers: the decision may still be applied when one does. */
const DEADLINE_MS = 10_000;

export interface Sending {
  readonly run: string;
  readonly workflowId: string;
  readonly decision: Decision;
  /** Default 10 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** What a run answered; `already`: it had been taken before, at that time. */
export interface DecisionAnswer extends Outcome {
  readonly already?: boolean;
}

/** Throws `unconfirmed`, `refused` for a paused run, or `notFound` if no open workflow has this ID. */
export async function sendDecision({ client, control }: Connected, sending: Sending): Promise<DecisionAnswer> {
  const { run, decision } = sending;
  const deadlineMs = sending.deadlineMs ?? DEADLINE_MS;
  try {
    const handle = client.workflow.getHandle(sending.workflowId);
    const mine = randomUUID();
    const { sending: taken, ...outcome } = await client.withDeadline(Date.now() + deadlineMs, () =>
      handle.executeUpdate<Outcome, [Decision]>('decide', {
        args: [{ ...decision, sending: mine }],
        updateId: updateIdOf(decision),
      }),
    );
    // The server answers for a repeated update with what was answered to the first.
    return taken !== undefined && taken !== mine ? { ...outcome, already: true } : outcome;
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return await refusedBy(control, sending, error);
    if (error instanceof WorkflowNotFoundError)
      throw new CommandError('notFound', `No open workflow ${sending.workflowId}.`, { cause: error });
    if (isPaused(error))
      throw new CommandError(
        'refused',
        `${run} is paused, so it takes no decision. Nothing was changed. Unpause it first, in the Web UI or with \`temporal workflow unpause --workflow-id ${sending.workflowId}\`, and repeat the command.`,
        { cause: error },
      );
    if (isLate(error))
      throw new CommandError(
        'unconfirmed',
        `${run} did not answer within ${deadlineMs / 1_000} s: not confirmed; may still be applied when a worker is back. Repeat the same command to learn the outcome; \`mendflow doctor\` says whether workers are there.`,
        { cause: error },
      );
    throw error;
  }
}

/** The same for the same question, kind, person and budget. Without a token (abort, a stage that still tries) the rest of the decision stands in for it. */
const updateIdOf = ({ token, kind, actor, stage, attempts, timeMs }: Decision): string =>
  createHash('sha256')
    .update(
      JSON.stringify(
        token === undefined
          ? [stage ?? '', attempts ?? 0, timeMs ?? 0, kind, actor ?? '']
          : [token, kind, actor ?? '', ...(kind === 'extend-budget' ? [attempts ?? 0, timeMs ?? 0] : [])],
      ),
    )
    .digest('hex')
    .slice(0, 32);

async function refusedBy(
  control: Connected['control'],
  { run, decision }: Sending,
  error: WorkflowUpdateFailedError,
): Promise<Outcome> {
  const text = error.cause instanceof Error ? error.cause.message : error.message;
  const { stage = '', token = '', kind, actor = 'unknown', reason = '' } = decision;
  // The answer counts even where the store does not take the row.
  await writeDecisions(control, run, [{ stage, token, kind, actor, reason, taken: false, text, at: Date.now() }]).catch(
    () => undefined,
  );
  return { taken: false, stage, text };
}

const saidBy = (error: unknown): string =>
  error instanceof Error ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}` : '';

const isPaused = (error: unknown): boolean => /paused/i.test(saidBy(error));

/** CANCELLED and DEADLINE_EXCEEDED of gRPC. */
const LATE: ReadonlySet<number> = new Set([1, 4]);
const isLate = (error: unknown): boolean =>
  error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
  (isGrpcServiceError(error) && LATE.has(error.code)) ||
  /DEADLINE_EXCEEDED|Deadline exceeded/i.test(saidBy(error));
