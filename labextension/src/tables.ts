/** The words of the cell language. Written by `make docs` from orchmagic/: change them there. */

export const MAGICS = new Set([
  'cascade',
  'chain',
  'mapreduce',
  'parallel',
  'plan',
  'react',
  'refine',
  'route',
  'team',
  'evaluate',
  'orchtest'
]);
export const PROMPT_MAGICS = new Set(['react']);
export const CONTROLS = new Set(['gate', 'until', 'verify', 'approve']);
export const EVALUATE_CONTROLS = new Set(['target']);
export const ACTIONS = new Set(['retry', 'stop', 'goto', 'ask']);
export const STEP_OPTIONS = new Set([
  'model',
  'fallback',
  'temperature',
  'top_p',
  'seed',
  'stop',
  'reasoning_effort',
  'max_tokens',
  'timeout',
  'retry',
  'cache',
  'when',
  'over',
  'item',
  'votes',
  'by',
  'min',
  'run',
  'ask',
  'match',
  'examples',
  'on',
  'tools'
]);
export const SWITCHES = new Set([
  '--thread-summary',
  '--no-cache',
  '--refresh',
  '--batch',
  '--dry-run',
  '--no-run',
  '--background',
  '--parallel',
  '--allow-writes',
  '--help',
  '-h'
]);
