// What lives here: the guard around one stage without a server: Temporal's own activity context, with a log and heartbeats that can be read.
// Invariant: the guard is the real one; this plays only the server that schedules the next attempt when the guard says so.
// Apart because what is logged per attempt is promised by two of the founding documents.
import { asyncLocalStorage, Context, type Info } from '@temporalio/activity';
import { ApplicationFailure, type Logger, type MetricMeter, noopMetricMeter } from '@temporalio/common';
import { type Around, guarded } from '../../src/engine/activity/guard.ts';
import type { StageCall, StageFailure } from '../../src/model/messages.ts';
import { type Grant, grantOf } from '../../src/model/retry-clock.ts';
import type { Policy } from '../../src/model/spec.ts';

export interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Told {
  readonly lines: readonly Line[];
  /** What the guard asked Temporal to wait, in ms. */
  readonly delays: readonly number[];
  readonly output?: unknown;
  readonly failure?: StageFailure;
}

/** Runs attempts until the stage is done or the guard gives up; `lost` of them ended with their worker before. Waits are not waited; Temporal's time goes on by them. */
export async function guardedStage(
  stage: string,
  policy: Policy,
  code: (attempt: number) => unknown,
  {
    grant = grantOf(policy),
    around = {},
    lost = 0,
  }: { readonly grant?: Grant; readonly around?: Around; readonly lost?: number } = {},
): Promise<Told> {
  const lines: Line[] = [];
  const delays: number[] = [];
  const call: StageCall = {
    pipeline: 'daily-report',
    runKey: 'daily-report/2026-11-21',
    stage,
    dataDate: '2026-11-21',
    generation: 1,
    policy,
    grant,
  };
  let beat: unknown;
  let scheduledAt = 0;
  for (let attempt = 1 + lost; ; attempt++) {
    const info = {
      attempt,
      heartbeatDetails: beat,
      currentAttemptScheduledTimestampMs: scheduledAt,
    } as unknown as Info;
    const context = new Context(
      info,
      new Promise(() => undefined),
      new AbortController().signal,
      (details: unknown) => void (beat = details),
      undefined,
      loggerTo(lines),
      noopMetricMeter as MetricMeter,
      { details: null } as never,
    );
    try {
      const work = guarded(async () => await Promise.resolve(code(attempt)), around);
      const output = await asyncLocalStorage.run(context, () => work({}, call));
      return { lines, delays, output };
    } catch (error) {
      if (!(error instanceof ApplicationFailure)) throw error;
      if (error.nonRetryable === true) return { lines, delays, failure: error.details![0] as StageFailure };
      delays.push(Number(error.nextRetryDelay));
      scheduledAt += delays.at(-1)!;
    }
  }
}

function loggerTo(lines: Line[]): Logger {
  const at = (level: string) => (message: string, fields?: object) =>
    void lines.push({ level, message, fields: { ...fields } });
  return {
    log: (level: string, message: string, fields?: object) => at(level)(message, fields),
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  } as Logger;
}
