// What lives here: the project of this example: two line formats of its own, which log-ingest of this package reads.
// Invariant: declared once; worker, parser thread and command line know the same formats by their names.
// Apart because the worker and the command line read it.
import { accessFormat, pattern, project } from 'mendflow/worker';

export default project({
  formats: {
    // 21.11.2026 08:15:03,250|W|cart|order 17 has no lines
    shop: pattern({
      pattern: String.raw`(?P<time>[^|]+)\|(?P<severity>\w+)\|(?P<module>\w+)\|(?:order (?P<order>\d+) )?(?P<message>.*)`,
      time: '%d.%m.%Y %H:%M:%S,%f',
      zone: '+01:00',
      severities: { A: 'ALERT', X: 'FATAL' }, // I, W, E and the words of the usual loggers are known
      continued: 'all', // lines that do not match belong to the record before them
    }),
    // As the configuration of the server has it, Apache's or nginx'.
    edge: accessFormat(
      '$remote_addr [$time_iso8601] "$request" $status $body_bytes_sent $request_time "$upstream_addr"',
    ),
  },
});
