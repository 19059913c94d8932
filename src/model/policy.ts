// What lives here: the named presets of stage policies.
// Invariant: every figure that decides how a stage is retried stands here or in the pipeline's file; there is no third place.
// Apart because presets are read by people choosing one, next to each other.
import type { Policy } from './spec.ts';

const backoff = { first: '1 second', factor: 2, max: '30 seconds' } as const;

/** Eight attempts within five minutes, waits of 1, 2, 4, 8 s up to 30 s: documents 001 and 003. */
export const standard = {
  attempt: '2 minutes',
  heartbeat: '15 seconds',
  budget: { attemptsMax: 8, time: '5 minutes' },
  backoff,
  slow: '15 minutes',
} as const satisfies Policy;

/** An HTTP API that is often away for a moment: short attempts, the standard budget. */
export const flakyApi = { ...standard, attempt: '30 seconds', heartbeat: '10 seconds' } as const satisfies Policy;

/** Loads of many records into a database, in segments of less than a minute. */
export const warehouse = {
  ...standard,
  attempt: '10 minutes',
  heartbeat: '10 seconds',
  quarantineShareMax: 0.05,
} as const satisfies Policy;

/** Work on this machine alone: what fails three times here does not pass by waiting a second more. */
export const local = {
  ...standard,
  attempt: '1 minute',
  budget: { attemptsMax: 3, time: '1 minute' },
} as const satisfies Policy;

/** Documents a person dropped in a folder: three attempts, cap one minute, as document 002 has it. */
export const document = {
  ...standard,
  attempt: '2 minutes',
  budget: { attemptsMax: 3, time: '5 minutes' },
  backoff: { first: '1 second', factor: 2, max: '1 minute' },
} as const satisfies Policy;

export const presets = { standard, flakyApi, warehouse, local, document } as const;
