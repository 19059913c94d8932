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
  quarantineShareMax: 0.05,
} as const satisfies Policy;

const { spec } = shipped;

export const dailyReport = pipeline({
  ...spec,
  stages: stages<DailyReport>({
    extract: { ...quick, upstream: 'http:main_api' },
    validate: quick,
    transform: quick,
    load: { ...quick, upstream: 'db:reporting_db' },
    report: { ...quick, onSkip: { output: null } },
  }),
});

export default pipelines(dailyReport);
