// Builds the workflow bundle once, so that a worker starts without a bundler, and checks which packages are in it.
// Invariant: the packages equal the allow-list; a pipeline file that pulls in more stops the build with its name.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const root = new URL('../', import.meta.url);
const allowed = ['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc'];

/** What the bundler said, for when it gives up: its error alone says only that there were errors. */
const said = [];
const hear = (message) => void said.push(message);
const faults = () =>
  said
    .flatMap((text) => text.split('\n'))
    .filter((line) => /ERROR in|Error:|Reading from/.test(line))
    .slice(0, 10)
    .join('\n');
const deaf = () => undefined;
const logger = {
  log: (level, message) => level === 'ERROR' && hear(message),
  error: hear,
  ...Object.fromEntries(['trace', 'debug', 'info', 'warn'].map((name) => [name, deaf])),
};

/** Package → the file of ours that imports it, also where the bundle fails before there is a source map to look into. */
const importers = new Map();
const packageOf = (file) =>
  /.*node_modules[/\\]((?:@[^/\\]+[/\\])?[^/\\]+)/.exec(file ?? '')?.[1]?.replaceAll('\\', '/');
const watchImports = {
  apply(compiler) {
    compiler.hooks.afterCompile.tap('mendflow', (compilation) => {
      for (const module of compilation.modules) {
        const name = packageOf(module.resource);
        const issuer = compilation.moduleGraph.getIssuer(module)?.resource;
        if (name && issuer && !packageOf(issuer)) importers.set(name, relative(fileURLToPath(root), issuer));
      }
    });
  },
};

const foreignIn = (packages) =>
  packages
    .filter((name) => !allowed.includes(name))
    .map((name) => (importers.has(name) ? `${name} (imported by ${importers.get(name)})` : name));

function refuse(why) {
  process.stderr.write(`${why}\nNothing was bundled. Import types only, or move the code to an activity.\n`);
  process.exit(1);
}

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('dist/workflows/index.js', root)),
  logger,
  webpackConfigHook: (config) => ({ ...config, plugins: [...(config.plugins ?? []), watchImports] }),
}).catch((error) => {
  const foreign = foreignIn([...importers.keys()]);
  refuse(
    foreign.length > 0
      ? `The workflows pull in packages that cannot run in Temporal's sandbox: ${foreign.join(', ')}.`
      : `The workflows cannot be bundled for Temporal's sandbox: ${faults() || error.message}`,
  );
});
const map = JSON.parse(Buffer.from(code.slice(code.lastIndexOf('base64,') + 7), 'base64').toString('utf8'));
const packages = [...new Set(map.sources.flatMap((source) => packageOf(source) ?? []))];
const foreign = foreignIn(packages);
if (foreign.length > 0) refuse(`The workflow bundle holds packages that are not on its list: ${foreign.join(', ')}.`);
writeFileSync(new URL('dist/workflow-bundle.js', root), code);
