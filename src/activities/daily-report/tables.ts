// What lives here: the tables that daily-report writes, as migrations/0005_daily_report.sql makes them.
// Invariant: rows have keys of their own, so a day that is loaded again changes nothing that is the same.
// Apart because columns are read beside the migration, and by nobody who reads the stages.
import { table } from 'mendflow/flow';

export const quakesTable = table(
  'quakes',
  {
    id: 'text',
    data_date: 'date',
    time: 'timestamptz',
    updated: 'timestamptz',
    magnitude: 'double precision',
    magnitude_type: 'text',
    place: 'text',
    kind: 'text',
    longitude: 'double precision',
    latitude: 'double precision',
    depth_km: 'double precision',
    significance: 'integer',
    tsunami: 'boolean',
    status: 'text',
    url: 'text',
    generation: 'integer',
  },
  { key: ['id'], version: ['updated'], dateColumn: 'data_date' },
);

export const metricsTable = table(
  'daily_metrics',
  { date: 'date', metric_id: 'text', value: 'double precision', generation: 'integer' },
  { key: ['date', 'metric_id'], dateColumn: 'date' },
);
