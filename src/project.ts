// What lives here: this package as a project of its own: its pipelines and how their stages are made.
// Invariant: it uses nothing a user's mendflow.config.ts could not use.
// Apart from the worker because the command line needs the list without running it.
import { type Project, project, serve } from 'mendflow/worker';
import { dailyReportActivities } from './activities/daily-report.ts';
import { logIngestActivities } from './activities/log-ingest.ts';
import { readConfig } from './config.ts';
import type { Format } from './flow/parse/format.ts';
import { ownUpstreams } from './upstreams.ts';
import { dailyReport } from './workflows/daily-report.ts';
import { logIngest } from './workflows/log-ingest.ts';

const config = readConfig();

/** `formats`: those that log-ingest knows. Default: those of the package. */
export const projectWith = (formats?: Readonly<Record<string, Format>>): Project =>
  project({
    workflows: new URL(
      import.meta.url.endsWith('.ts') ? './workflows/index.ts' : './workflows/index.js',
      import.meta.url,
    ),
    upstreams: ownUpstreams(config),
    serve: (sink, upstreams) => [
      serve(logIngest, logIngestActivities(sink, formats === undefined ? {} : { formats })),
      serve(dailyReport, dailyReportActivities({ sink, upstreams, reportsDir: config.reportsDir })),
    ],
  });

export default projectWith();
