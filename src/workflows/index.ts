// Every pipeline of this package, as one workflow entry: Temporal bundles this file.
import { pipelines } from 'mendflow/workflow';
import { dailyReport } from './daily-report.ts';
import { logIngest } from './log-ingest.ts';

export default pipelines(logIngest, dailyReport);
