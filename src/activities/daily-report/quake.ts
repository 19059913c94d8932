// What lives here: what an earthquake looks like where it comes from, in our table, and in the figures of a day.
// Invariant: pure: the data date is the only time it knows; the same features give the same rows and figures.
// Apart from the stages, so that each of these can be tested by calling it.
import { nearest } from 'mendflow/flow';
import { z } from 'zod';

/** Names what records of each dataset look like; a change of shape takes the next number. */
export const schemas = {
  feature: 'usgs-feature/1',
  valid: 'quake-feature/1',
  quake: 'quake/1',
  metric: 'metric/1',
} as const;

const DAY_MS = 86_400_000;
/** Beyond it no Date can say a time. */
const MOMENT_MAX = 8.64e15;

const moment = z.number().int().min(-MOMENT_MAX).max(MOMENT_MAX);
/** Into columns of doubles: what is written with more digits than one holds counts as the nearest. */
const double = (min: number, max: number) => z.preprocess(nearest, z.number().min(min).max(max));

/** First and last millisecond of a UTC day. */
export function dayOf(dataDate: string): { readonly from: number; readonly to: number } {
  const from = Date.parse(`${dataDate}T00:00:00.000Z`);
  return { from, to: from + DAY_MS - 1 };
}

/** One feature as it has to be on that day. What is not named here is left out. */
export function featureOn(dataDate: string) {
  const { from, to } = dayOf(dataDate);
  return z.object({
    type: z.literal('Feature'),
    id: z.string().min(1).max(100),
    properties: z.object({
      mag: double(-10, 12).nullable(),
      place: z.string().nullable(),
      time: moment.min(from, 'before the data date').max(to, 'after the data date'),
      updated: moment,
      url: z.string().nullish(),
      status: z.string().nullish(),
      tsunami: z.number().nullish(),
      sig: z.number().int().nullish(),
      magType: z.string().nullish(),
      type: z.string().min(1),
    }),
    geometry: z.object({
      type: z.literal('Point'),
      coordinates: z.tuple([double(-180, 180), double(-90, 90), double(-Infinity, Infinity).nullable()]),
    }),
  });
}
export type Feature = z.infer<ReturnType<typeof featureOn>>;

/** A row of the table `quakes`. */
export interface Quake {
  readonly id: string;
  readonly time: string;
  readonly updated: string;
  readonly magnitude: number | null;
  readonly magnitude_type: string | null;
  readonly place: string | null;
  readonly kind: string;
  readonly longitude: number;
  readonly latitude: number;
  readonly depth_km: number | null;
  readonly significance: number | null;
  readonly tsunami: boolean;
  readonly status: string | null;
  readonly url: string | null;
}

export function quakeOf({ id, properties: of, geometry }: Feature): Quake {
  const [longitude, latitude, depth] = geometry.coordinates;
  return {
    id,
    time: new Date(of.time).toISOString(),
    updated: new Date(of.updated).toISOString(),
    magnitude: of.mag,
    magnitude_type: of.magType ?? null,
    place: of.place,
    kind: of.type,
    longitude,
    latitude,
    depth_km: depth,
    significance: of.sig ?? null,
    tsunami: of.tsunami === 1,
    status: of.status ?? null,
    url: of.url ?? null,
  };
}

/** A row of the table `daily_metrics`, without its date's bookkeeping. */
export interface Metric {
  readonly date: string;
  readonly metric_id: string;
  readonly value: number;
}

/** Significance from which an event counts as significant: the upstream's own bound. */
const SIGNIFICANT = 600;

/** Figures of a day, gathered quake by quake. A figure of nothing (the largest of no magnitudes) is left out, never 0. */
export function dailyFigures(dataDate: string): { add(quake: Quake): void; metrics(): Metric[] } {
  const counts = new Map<string, number>([
    ['quakes', 0],
    ['quakes_m2_5', 0],
    ['quakes_m4_5', 0],
    ['significant', 0],
    ['tsunami', 0],
  ]);
  const largest = new Map<string, number>();
  const magnitudes: number[] = [];
  const count = (metric: string, when = true): void => {
    if (when) counts.set(metric, (counts.get(metric) ?? 0) + 1);
  };
  const largestOf = (metric: string, value: number | null): void => {
    if (value !== null && value > (largest.get(metric) ?? -Infinity)) largest.set(metric, value);
  };
  return {
    add(quake) {
      const magnitude = quake.magnitude ?? -Infinity;
      count('quakes');
      count('quakes_m2_5', magnitude >= 2.5);
      count('quakes_m4_5', magnitude >= 4.5);
      count('significant', (quake.significance ?? 0) >= SIGNIFICANT);
      count('tsunami', quake.tsunami);
      count(`quakes_${quake.kind.toLowerCase().replace(/[^a-z0-9]+/g, '_')}`);
      largestOf('magnitude_max', quake.magnitude);
      largestOf('depth_km_max', quake.depth_km);
      largestOf('significance_max', quake.significance);
      if (quake.magnitude !== null) magnitudes.push(quake.magnitude);
    },
    metrics() {
      const mean = new Map<string, number>();
      if (magnitudes.length > 0) mean.set('magnitude_mean', meanOf(magnitudes));
      return [...counts, ...largest, ...mean]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([metric_id, value]) => ({ date: dataDate, metric_id, value }));
    },
  };
}

/** Three digits: sums of doubles depend on their order in the last ones. */
const meanOf = (values: readonly number[]): number =>
  Math.round((values.toSorted((a, b) => a - b).reduce((sum, value) => sum + value, 0) / values.length) * 1_000) / 1_000;
