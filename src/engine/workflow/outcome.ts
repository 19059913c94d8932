// What lives here: the two ways a run ends other than by finishing: healing is off, or a person aborted it.
// Invariant: both become one ApplicationFailure with a stable type, so that Temporal shows the run as failed and a new start is allowed.
// Apart because the body of a pipeline sees them pass through and must not be able to mistake them for its own.
import { ApplicationFailure } from '@temporalio/workflow';
import { ApplicationFailureCategory } from '@temporalio/common';
import type { Failure } from '../../model/failure.ts';
import type { RunSummary } from '../../model/messages.ts';

/** Healing is off, and a stage has spent its budget. */
export class PipelineFailed extends Error {
  readonly failure: Failure;
  readonly stage: string;
  constructor(stage: string, failed: Failure) {
    super(`Stage ${stage} failed: ${failed.text}`);
    this.name = 'PipelineFailed';
    this.stage = stage;
    this.failure = failed;
  }
}

export const failedRun = (error: PipelineFailed, summary: RunSummary): ApplicationFailure =>
  ApplicationFailure.create({
    message: error.message,
    type: error.failure.code,
    nonRetryable: true,
    details: [summary, error.failure],
  });

export const abortedRun = (by: { actor: string; reason: string }, summary: RunSummary): ApplicationFailure =>
  ApplicationFailure.create({
    message: `Aborted by ${by.actor}: ${by.reason}`,
    type: 'aborted',
    nonRetryable: true,
    details: [summary],
    category: ApplicationFailureCategory.BENIGN,
  });
