// What lives here: daily-report as it is shipped, with short waits, so that a dead worker is replaced in a second.
// Invariant: same name, same stages, same body, same upstreams; only the policy's figures differ.
// Apart because Temporal bundles this file for the worker processes of the chaos tests.
import { type Policy, pipeline, pipelines, stages } from 'mendflow/workflow';
import type { DailyReport } from '../../../src/activities/daily-report.ts';
import { dailyReport as shipped } from '../../../src/workflows/daily-report.ts';

const quick = {
  attempt: '1 minute',
  heartbeat: '1 second',
  budget: { attemptsMax: 100, time: '1 minute' },
  backoff: { first: '50 milliseconds', factor: 2, max: '500 milliseconds' },
  slow: '1 second',
} as const satisfies Policy;

const { spec } = shipped;

export const dailyReport = pipeline({
  ...spec,
  stages: stages<DailyReport>({
    extract: { ...spec.stages.extract, ...quick },
    validate: { ...spec.stages.validate, ...quick },
    transform: { ...spec.stages.transform, ...quick },
    load: { ...spec.stages.load, ...quick },
    report: { ...spec.stages.report, ...quick },
  }),
});

export default pipelines(dailyReport);
