// What lives here: the project that the worker processes of the daily-report chaos tests find in their folder.
// Invariant: the activities are those of the package; around them stands only what arms a failpoint for one stage of one date.
// Apart because a worker looks for exactly this file name.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { project, serve, stage } from 'mendflow/worker';
import { type DailyReport, dailyReportActivities } from '../../../src/activities/daily-report.ts';
import { armFailpoints } from '../../../src/store/failpoint.ts';
import { ownUpstreams } from '../../../src/upstreams.ts';
import { dailyReport } from './pipelines.ts';

const dir = process.env['MENDFLOW_DIR'] ?? '.';

/** A worker that is to take over is started early and waits here, so that a test does not wait for it to start. */
function waitAtGate(): void {
  const gate = process.env['MENDFLOW_TEST_GATE'];
  const clock = new Int32Array(new SharedArrayBuffer(4));
  while (gate !== undefined && gate !== '' && !existsSync(gate)) Atomics.wait(clock, 0, 0, 20);
}

/** The test may arm this very process for one stage of one date: a worker that healed one run dies in the next. */
function arm(name: string): void {
  const order = join(dir, `${stage().dataDate}.arm`);
  const [pid, at, points = ''] = existsSync(order) ? readFileSync(order, 'utf8').split(' ') : [];
  armFailpoints(Number(pid) === process.pid && at === name ? points : '');
}

export default project({
  workflows: new URL('./pipelines.ts', import.meta.url),
  upstreams: ownUpstreams({ mainApi: process.env['MENDFLOW_MAIN_API'] ?? '' }),
  serve: (sink, upstreams) => {
    waitAtGate();
    const stages = dailyReportActivities({ sink, upstreams, reportsDir: join(dir, 'reports') });
    const armed = Object.fromEntries(
      Object.entries(stages).map(([name, code]) => [
        name,
        (input: never) => {
          arm(name);
          return (code as (input: never) => Promise<unknown>)(input);
        },
      ]),
    ) as unknown as DailyReport;
    return [serve(dailyReport, armed)];
  },
});
