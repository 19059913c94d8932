// What lives here: in which order a day of earthquakes becomes rows, figures and a page, and what happens when a stage fails.
// Invariant: stages hand on references; the records of finished stages are kept until the run closes, so that any stage can go on after any crash.
// Apart from the activities because this half runs in Temporal's sandbox and decides; that half touches the world.
import { flakyApi, pipeline, stages, standard, warehouse } from 'mendflow/workflow';
import type { DailyReport } from '../activities/daily-report.ts';

export const dailyReport = pipeline({
  name: 'daily-report',
  owner: 'data-team',
  about: 'Earthquakes of a day into quakes and daily_metrics, and a page about them.',
  runbook: 'mendflow/ops/runbooks/daily-report.md',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  stages: stages<DailyReport>({
    // Nothing is quarantined here; the share lets an operator accept a day that is far smaller than others.
    extract: { ...flakyApi, attempt: '5 minutes', upstream: 'http:main_api', quarantineShareMax: 1 },
    // They keep their records in the database: a restart of it has to fit into their attempts.
    validate: { ...standard, quarantineShareMax: 0.05 },
    transform: { ...standard, quarantineShareMax: 0.05 },
    load: { ...warehouse, upstream: 'db:reporting_db' },
    report: { ...standard, onSkip: { output: null } },
  }),
  async run({ extract, validate, transform, load, report }) {
    const landed = await extract();
    const valid = await validate(landed);
    const day = await transform(valid);
    const loaded = await load(day);
    return await report({ ...day, landed, valid, loaded });
  },
});
