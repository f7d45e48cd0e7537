"use strict";(self.rspackChunkorchmagic=self.rspackChunkorchmagic||[]).push([[524],{536(o,e,r){var t=r(126),a=r.n(t),i=r(719),n=(r.n(i))()(a());n.push([o.id,`/* The trace. Colors come from the theme, those of bars from palette.css. */

.om-trace {
  --om-line: var(--jp-border-color2, #bdbdbd);
  container: om-trace / inline-size;
  color: var(--jp-content-font-color1, #212121);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
}

.om-trace,
.om-trace *,
.om-panel *,
.om-compare * {
  box-sizing: border-box;
}

/* The card: everything under a cell. */
.om-card {
  --om-line: var(--jp-border-color2, #bdbdbd);
  display: grid;
  grid-template-columns: minmax(0, 1fr);
  container: om-card / inline-size;
  color: var(--jp-content-font-color1, #212121);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  font-variant-numeric: tabular-nums;
  padding: 2px 0;
}

.om-card,
.om-card * {
  box-sizing: border-box;
}

.om-card [hidden] {
  display: none !important;
}

/* Facts that do not fit go into a second line, which is not shown: no figure is cut. */
.om-card-head {
  display: grid;
  grid-template: 'badge name facts id acts' 26px / auto minmax(3ch, auto) minmax(0, 1fr) auto auto;
  column-gap: 14px;
  align-items: center;
  white-space: nowrap;
}

.om-badge {
  grid-area: badge;
  font-weight: 600;
}

.om-card-name {
  grid-area: name;
  overflow: hidden;
  text-overflow: ellipsis;
}

.om-facts {
  grid-area: facts;
  display: flex;
  flex-wrap: wrap;
  column-gap: 14px;
  height: 20px;
  overflow: hidden;
}

.om-fact {
  line-height: 20px;
}

.om-live .om-fact-time {
  min-width: 6ch;
}

.om-live .om-fact-tokens {
  min-width: 11ch;
}

.om-live .om-fact-cost {
  min-width: 7ch;
}

.om-card-id {
  grid-area: id;
  justify-self: end;
  color: var(--jp-content-font-color2, #616161);
  font: 12px var(--jp-code-font-family, monospace);
}

.om-acts {
  display: inline-flex;
  gap: 4px;
  justify-content: flex-end;
}

.om-card-head > .om-acts {
  grid-area: acts;
  min-width: 116px;
}

.om-act {
  font: inherit;
  font-size: 12px;
  line-height: 20px;
  color: inherit;
  background: none;
  border: 1px solid var(--jp-border-color1, #bdbdbd);
  border-radius: 3px;
  padding: 0 8px;
  cursor: pointer;
}

.om-act:hover {
  background: var(--jp-layout-color2, #eee);
}

.om-act:disabled {
  opacity: 0.6;
}

.om-quiet {
  border-color: transparent;
}

.om-card :is(button, input, select, textarea, [tabindex]):focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2);
  outline-offset: -1px;
}

.om-tone-good {
  color: var(--om-good);
}

.om-tone-warn {
  color: var(--om-warn);
}

.om-tone-bad,
.om-card .om-error,
.om-panel .om-error {
  color: var(--om-bad-text);
}

.om-tone-wait {
  color: var(--om-wait-text);
}

.om-tone-run {
  color: var(--om-run);
}

.om-card-why {
  height: 20px;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.om-lead {
  all: unset;
  display: block; /* a button is cut off whole: its own text ends with an ellipsis */
  max-width: 100%;
  overflow: hidden;
  text-overflow: ellipsis;
  cursor: pointer;
}

.om-lead:hover {
  text-decoration: underline;
}

.om-card-graph {
  overflow: auto hidden;
}

.om-card-graph:not(:empty) {
  padding: 4px 1px;
}

.om-card-graph svg {
  display: block;
}

/* What was not reached is paler, and still to be read. */
.om-card-graph g[opacity] {
  opacity: 0.72;
}

.om-card-graph g[opacity] text {
  opacity: 1;
}

.om-card-progress {
  display: flex;
  gap: 10px;
  align-items: center;
  height: 44px;
  overflow: hidden;
}

.om-card-progress progress {
  flex: 0 1 240px;
  height: 8px;
}

.om-says {
  display: flex;
  flex-direction: column;
  justify-content: flex-end;
  height: 40px;
  line-height: 20px;
  overflow: hidden;
  overflow-wrap: anywhere;
  color: var(--jp-content-font-color2, #616161);
}

.om-answer-head {
  display: flex;
  justify-content: space-between;
  align-items: center;
  min-height: 22px;
}

.om-answer-head .om-act {
  margin-left: auto;
}

.om-answer {
  max-height: 420px;
  overflow: auto;
}

.om-card .om-markdown {
  padding: 0;
  font-size: 14px;
}

.om-markdown :is(h1, h2, h3, h4, h5, h6) {
  font-size: 1.1em !important;
  font-weight: 600;
  margin: 8px 0 4px !important;
}

.om-markdown :is(p, ul, ol, pre, table, blockquote) {
  margin-bottom: 6px !important;
}

.om-markdown table {
  margin-left: 0 !important;
}

.om-markdown > :last-child {
  margin-bottom: 0 !important;
}

.om-caption {
  padding: 4px 0 2px;
}

.om-table-box {
  max-height: 320px;
  overflow: auto;
  border: 1px solid var(--om-line);
  border-radius: 3px;
}

.om-results {
  border-collapse: collapse;
  min-width: 50%;
  font-size: 12px;
}

.om-results :is(th, td) {
  max-width: 340px;
  padding: 2px 10px;
  overflow: hidden;
  text-align: left;
  text-overflow: ellipsis;
  white-space: nowrap;
  font-weight: normal;
  border-bottom: 1px solid color-mix(in srgb, var(--om-line) 60%, transparent);
}

.om-results thead th {
  position: sticky;
  top: 0;
  z-index: 1;
  background: var(--jp-layout-color0, #fff);
}

.om-results .om-num {
  text-align: right;
}

.om-results .om-cell-mark {
  width: 1.6em;
  padding-right: 0;
}

.om-results tbody tr {
  cursor: pointer;
}

.om-results tbody tr:hover {
  background: var(--jp-layout-color2, #eee);
}

.om-sort {
  all: unset;
  cursor: pointer;
  font-weight: 600;
}

th[aria-sort='ascending'] .om-sort::after {
  content: ' ▲';
}

th[aria-sort='descending'] .om-sort::after {
  content: ' ▼';
}

.om-faint,
.om-note,
.om-trace small {
  color: var(--jp-content-font-color2, #616161);
}

.om-body {
  display: flex;
  flex-direction: column;
  border: 1px solid var(--om-line);
  border-radius: 3px;
}

.om-rows {
  min-width: 0;
}

/* Where all was free, a column of zeros tells nothing. */
.om-free {
  --om-money: 0;
}

.om-free .om-cost {
  visibility: hidden;
}

.om-hangs {
  flex: 0 0 auto;
  font-size: 9px;
  opacity: 0.75;
}

/* One grid for every row: name, time axis, seconds, tokens, cost, words. The view sets the widths of the figures. */
.om-row {
  display: grid;
  grid-template-columns:
    minmax(120px, 24%) minmax(110px, 1fr) var(--om-time-wide, 8ch) var(--om-tokens-wide, 6ch)
    var(--om-money, var(--om-cost-wide, 9ch)) minmax(0, 24%);
  column-gap: 10px;
  align-items: center;
  height: 24px;
  padding-right: 6px;
  white-space: nowrap;
}

.om-row > span {
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
}

.om-row > .om-lane {
  overflow: visible;
}

.om-time,
.om-tokens,
.om-cost {
  text-align: right;
}

/* Above the thin bars that Plotly draws under the figures. */
.om-space .om-row > :is(.om-tokens, .om-cost) {
  position: relative;
  z-index: 2;
  align-self: start;
  line-height: 18px;
  pointer-events: none;
}

.om-plot {
  position: absolute;
  z-index: 1;
  margin-top: 24px;
}

.om-plotted .om-space :is(.om-bar, .om-try) {
  visibility: hidden;
}

.om-plotted .om-space .om-lane {
  background: none;
}

.om-timeless .om-row > .om-lane > * {
  visibility: hidden;
}

.om-axis {
  position: sticky;
  top: 0;
  z-index: 3;
  color: var(--jp-content-font-color2, #616161);
  background: var(--jp-layout-color0, #fff);
  border-bottom: 1px solid var(--om-line);
}

.om-axis > :not(.om-lane),
.om-tick {
  font-size: 11px;
}

.om-tools {
  display: flex;
  gap: 10px;
  align-items: center;
  padding: 3px 6px;
}

.om-find {
  font: inherit;
  font-size: 12px;
  width: min(220px, 60%);
  height: 22px;
  padding: 0 6px;
  color: inherit;
  background: var(--jp-input-background, transparent);
  border: 1px solid var(--jp-border-color1, #bdbdbd);
  border-radius: 3px;
}

.om-find::placeholder {
  color: var(--jp-content-font-color2, #616161);
  opacity: 1;
}

.om-axis > .om-step {
  padding-left: 8px;
}

.om-list {
  position: relative;
  overflow: hidden auto;
  scrollbar-gutter: stable;
  scrollbar-width: thin;
}

.om-list:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2);
  outline-offset: -2px;
}

.om-space {
  position: relative;
}

.om-space > .om-row {
  position: absolute;
  left: 0;
  right: 0;
  cursor: pointer;
}

.om-space > .om-row:hover {
  background: var(--jp-layout-color2, #eee);
}

.om-space > .om-row[aria-selected='true'] {
  background: color-mix(in srgb, var(--jp-brand-color1, #1976d2) 18%, transparent);
}

.om-space > .om-row[aria-selected='true'] .om-note {
  color: inherit;
}

.om-step {
  display: flex;
  align-items: center;
  gap: 4px;
}

.om-twist {
  flex: 0 0 14px;
  text-align: center;
  user-select: none;
}

.om-mark {
  flex: 0 0 14px;
  text-align: center;
}

.om-label {
  overflow: hidden;
  text-overflow: ellipsis;
}

.om-is-failed .om-step,
.om-run.om-is-failed .om-mark {
  color: var(--om-bad-text);
}

.om-doubt :is(.om-mark, .om-note),
.om-run.om-doubt .om-mark {
  color: var(--om-warn);
}

.om-is-waiting .om-mark {
  color: var(--om-wait-text);
}

.om-is-running .om-mark {
  color: var(--om-run);
}

.om-is-pending {
  color: var(--jp-content-font-color2, #616161);
}

.om-lane {
  position: relative;
  height: 14px;
  background: color-mix(in srgb, currentColor 9%, transparent);
}

.om-axis > .om-lane {
  container: om-lane / inline-size;
  background: none;
  height: 100%;
}

.om-tick {
  position: absolute;
  transform: translateX(-50%);
  line-height: 24px;
}

.om-tick:first-child {
  transform: none;
}

.om-tick-last {
  transform: translateX(-100%);
}

.om-bar,
.om-try {
  position: absolute;
  top: 1px;
  bottom: 1px;
  min-width: 2px;
  --om-fill: var(--om-code);
  background: var(--om-fill);
}

:is(.om-kind-call, .om-kind-item, .om-kind-vote, .om-kind-ask) .om-bar {
  --om-fill: var(--om-call);
}

:is(.om-kind-tools, .om-kind-tool) .om-bar {
  --om-fill: var(--om-tool);
}

:is(.om-kind-sub, .om-kind-more) .om-bar {
  --om-fill: var(--om-grey);
}

.om-kind-approve .om-bar {
  --om-fill: var(--om-wait);
}

.om-is-failed .om-bar {
  --om-fill: var(--om-bad);
  background: repeating-linear-gradient(
    45deg,
    var(--om-fill) 0 4px,
    color-mix(in srgb, var(--om-fill) 45%, transparent) 4px 7px
  );
  outline: 1px solid var(--om-bad);
}

.om-is-waiting .om-bar {
  --om-fill: var(--om-wait);
  background: repeating-linear-gradient(90deg, var(--om-fill) 0 3px, transparent 3px 6px);
}

:is(.om-is-cancelled, .om-is-rejected, .om-is-skipped) .om-bar {
  --om-fill: var(--om-grey);
}

.om-is-running .om-bar {
  border-right: 3px dotted var(--jp-layout-color1, #fff);
}

.om-bar.om-cached {
  background: repeating-linear-gradient(45deg, var(--om-fill) 0 3px, transparent 3px 6px);
}

.om-try {
  background: repeating-linear-gradient(-45deg, var(--om-bad) 0 2px, #fff 2px 4px);
  outline: 1px solid var(--om-bad);
}

/* The thumbs below a run. */
.om-judge-row {
  display: flex;
  gap: 6px;
  align-items: center;
  min-height: 26px;
  padding-top: 4px;
}

.om-card .om-thumb {
  display: inline-flex;
  flex: none;
  align-items: center;
  height: 22px;
  padding: 0 6px;
}

.om-drawing {
  width: 14px;
  height: 14px;
  fill: none;
  stroke: currentColor;
  stroke-width: 1.3;
  stroke-linejoin: round;
}

.om-thumb-wrong .om-drawing {
  transform: rotate(180deg);
}

.om-thumb[aria-pressed='true'] {
  border-color: currentColor;
}

.om-thumb[aria-pressed='true'] .om-drawing {
  fill: currentColor;
}

.om-thumb-right[aria-pressed='true'] {
  color: var(--om-good);
}

.om-thumb-wrong[aria-pressed='true'] {
  color: var(--om-bad-text);
}

.om-judge-told {
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.om-judge-row > .om-quiet {
  flex: none;
}

.om-judge-form {
  display: flex;
  flex-wrap: wrap;
  gap: 6px;
  padding-top: 4px;
}

.om-judge-form > .om-judge-fix {
  display: flex;
  flex: 1 1 100%;
  flex-wrap: wrap;
  gap: 6px;
}

.om-judge-form :is(input, select, textarea) {
  min-width: 0;
  min-height: 24px;
  padding: 0 6px;
  font: inherit;
  font-size: 12px;
  color: inherit;
  background: var(--jp-input-background, transparent);
  border: 1px solid var(--jp-border-color1, #bdbdbd);
  border-radius: 3px;
}

.om-judge-form > input {
  flex: 1 1 200px;
  max-width: 560px;
}

.om-judge-form textarea {
  flex: 1 1 100%;
  padding: 4px 6px;
  resize: vertical;
  font: 12px/1.45 var(--jp-code-font-family, monospace);
}

/* The pane of the row that was chosen. */
.om-pane {
  border-top: 1px solid var(--om-line);
  max-height: 340px;
  overflow: auto;
  min-width: 0;
  padding: 4px 10px 8px;
  overflow-wrap: anywhere;
}

.om-detail-head {
  display: flex;
  flex-wrap: wrap;
  gap: 0 12px;
}

.om-tabs {
  display: flex;
  flex-wrap: wrap;
  gap: 4px 12px;
  align-items: center;
  margin: 3px 0 4px;
}

.om-tablist {
  display: flex;
  flex-wrap: wrap;
  gap: 2px;
}

.om-tab-button {
  font: inherit;
  font-size: 12px;
  color: inherit;
  background: none;
  border: 0;
  border-bottom: 2px solid transparent;
  padding: 1px 8px;
  cursor: pointer;
}

.om-tab-button[aria-selected='true'] {
  font-weight: 600;
  border-bottom-color: var(--jp-brand-color1, #1976d2);
}

.om-part-body {
  max-height: 260px;
  overflow: auto;
}

.om-word {
  color: var(--jp-content-font-color2, #616161);
}

.om-card pre,
.om-trace pre,
.om-panel pre,
.om-compare pre {
  margin: 0;
  padding: 4px 8px;
  white-space: pre-wrap;
  overflow-wrap: anywhere;
  color: inherit;
  background: var(--jp-layout-color2, #f5f5f5);
  font: 12px/1.45 var(--jp-code-font-family, monospace);
}

.om-asked {
  border-left: 3px solid var(--om-wait);
  padding-left: 8px;
}

.om-ask {
  margin-top: 4px;
}

.om-ask > summary {
  cursor: pointer;
}

.om-pane:empty {
  display: none;
}

/* Narrow: words first go, then tokens and cost, each with its whole column. Wide: the pane stands beside the rows. */
@container om-trace (max-width: 820px) {
  .om-row {
    grid-template-columns:
      minmax(110px, 30%) minmax(70px, 1fr) var(--om-time-wide, 8ch) var(--om-tokens-wide, 6ch)
      var(--om-money, var(--om-cost-wide, 9ch));
  }

  .om-row > .om-note {
    display: none;
  }
}

/* Ticks that would touch each other. */
/* the last of five labels ends where the lane ends: it needs the room of one and a half */
@container om-lane (max-width: 380px) {
  .om-tick:nth-child(even) {
    display: none;
  }
}

@container om-trace (max-width: 480px) {
  .om-row {
    grid-template-columns: minmax(90px, 40%) minmax(60px, 1fr) var(--om-time-wide, 8ch);
  }

  .om-row > :is(.om-tokens, .om-cost) {
    display: none;
  }
}

@container om-card (max-width: 720px) {
  .om-card-head {
    grid-template: 'badge name id' 24px 'facts facts acts' 26px / auto minmax(0, 1fr) auto;
  }
}

@container om-trace (min-width: 1400px) {
  .om-body:has(> .om-pane:not(:empty)) {
    flex-direction: row;
  }

  .om-body > .om-rows {
    flex: 1 1 62%;
  }

  .om-body > .om-pane {
    flex: 1 1 38%;
    border-top: 0;
    border-left: 1px solid var(--om-line);
    max-height: 300px;
  }
}

/* In a tab of its own; below the notebook it needs a height. */
.om-down > :is(.om-tab, .om-compare) {
  min-height: 320px;
}

.om-tab {
  overflow: hidden;
}

.om-card-fill {
  grid-template-rows: auto auto auto minmax(160px, 1fr) auto auto auto;
  height: 100%;
  padding: 8px 12px;
  overflow: auto;
}

.om-trace.om-fill {
  display: flex;
  flex-direction: column;
  min-height: 0;
}

.om-fill > .om-body {
  flex: 1;
  min-height: 0;
}

.om-fill .om-rows {
  display: flex;
  flex-direction: column;
  flex: 0 1 auto;
  min-height: 120px;
}

.om-fill .om-list {
  flex: 0 1 auto;
}

.om-fill .om-pane {
  flex: 1 1 40%;
  max-height: none;
}
`,""]),r.d(e,{},{A:n})},72(o,e,r){var t=r(126),a=r.n(t),i=r(719),n=(r.n(i))()(a());n.push([o.id,`/* Cells of ours: what JupyterLab's own colours do not say. */

.om-cm-magic,
.om-cm-control,
.om-cm-step {
  font-weight: bold;
}

.om-cm-magic {
  color: var(--jp-mirror-editor-meta-color);
}

[data-jp-theme-light='false'] .om-cm-magic {
  color: #d39bff; /* the theme's own is too dark to read on its black */
}

.om-cm-control,
.om-cm-role {
  color: var(--jp-mirror-editor-keyword-color);
}

.om-cm-step {
  color: var(--jp-mirror-editor-def-color);
}

.om-cm-role {
  font-weight: bold;
  opacity: 0.85;
}

.om-cm-description {
  font-style: italic;
}

.om-cm-type {
  color: var(--jp-mirror-editor-builtin-color);
}

.om-cm-option {
  color: var(--jp-mirror-editor-attribute-color);
}

.om-cm-jinja {
  color: var(--jp-mirror-editor-operator-color);
  font-weight: bold;
}

.om-cm-value {
  color: var(--jp-mirror-editor-variable-2-color);
}
`,""]),r.d(e,{},{A:n})},622(o,e,r){var t=r(126),a=r.n(t),i=r(719),n=(r.n(i))()(a());n.push([o.id,`/* Statuses and kinds differ also by pattern, by sign and by word. A test computes the contrast of each color. */

.om-card,
.om-trace,
.om-panel,
.om-compare {
  --om-call: #0072b2;
  --om-code: #007a5a;
  --om-tool: #a65f00;
  --om-wait: #a3407f;
  --om-bad: #c04a00;
  --om-grey: #767676;
  --om-good: #1b6e3c;
  --om-warn: #8a4b00;
  --om-bad-text: #b3261e;
  --om-wait-text: #8e2f6f;
  --om-run: #0b62a4;
  --om-ground: #ffffff;
  --om-text: #212121;
  --om-grid: rgba(0, 0, 0, 0.12);
}

[data-jp-theme-light='false'] :is(.om-card, .om-trace, .om-panel, .om-compare) {
  --om-call: #56b4e9;
  --om-code: #2bc79a;
  --om-tool: #e69f00;
  --om-wait: #e39ac7;
  --om-bad: #ff8a5c;
  --om-grey: #9e9e9e;
  --om-good: #6fd19a;
  --om-warn: #f0b45a;
  --om-bad-text: #ff9b8f;
  --om-wait-text: #eea3d3;
  --om-run: #7cc0f5;
  --om-ground: #111111;
  --om-text: #ececec;
  --om-grid: rgba(255, 255, 255, 0.16);
}
`,""]),r.d(e,{},{A:n})},501(o,e,r){var t=r(126),a=r.n(t),i=r(719),n=(r.n(i))()(a());n.push([o.id,`/* The panel of runs, and two runs side by side. */

.om-panel {
  --om-line: var(--jp-border-color2, #bdbdbd);
  height: 100%;
  overflow: auto;
  padding: 8px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1, #212121);
  font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif);
}

.om-bar-top {
  display: flex;
  gap: 6px;
  align-items: center;
}

.om-filter {
  display: flex;
  flex-wrap: wrap;
  gap: 4px;
  margin: 6px 0;
}

.om-filter > * {
  box-sizing: border-box;
  flex: 1 1 90px;
  min-width: 0;
  height: 24px;
  padding: 0 6px;
  font: inherit;
  font-size: 12px;
  color: inherit;
  background: var(--jp-input-background, transparent);
  border: 1px solid var(--jp-border-color1, #bdbdbd);
  border-radius: 3px;
}

.om-filter > input {
  flex-basis: 100%;
}

.om-below {
  display: flex;
  gap: 6px;
  padding: 8px 0;
}

.om-panel [hidden] {
  display: none !important;
}

.om-today {
  flex: 1;
  font-weight: 600;
}

.om-button,
.om-small {
  font: inherit;
  color: inherit;
  cursor: pointer;
  background: var(--jp-layout-color2, #eee);
  border: 1px solid var(--om-line);
  border-radius: 3px;
  padding: 2px 10px;
}

.om-button:hover:enabled,
.om-small:hover {
  background: var(--jp-layout-color3, #ddd);
}

.om-button:disabled {
  opacity: 0.5;
  cursor: default;
}

.om-button.om-approve {
  color: #fff;
  background: #1b7a3d;
  border-color: #1b7a3d;
}

.om-button.om-reject {
  color: #fff;
  background: #b3261e;
  border-color: #b3261e;
}

.om-button.om-approve:hover:enabled,
.om-button.om-reject:hover:enabled {
  filter: brightness(1.12);
}

.om-small {
  padding: 0 6px;
  background: none;
  border-color: transparent;
}

.om-panel :is(.om-button, .om-small, .om-open, textarea, input):focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2);
}

.om-message:not(:empty) {
  padding: 6px 0;
  overflow-wrap: anywhere;
}

.om-runs {
  list-style: none;
  margin: 6px 0 0;
  padding: 0;
}

.om-run {
  border-bottom: 1px solid var(--om-line);
  padding: 3px 0;
}

.om-run.om-is-waiting {
  border-left: 3px solid var(--om-wait);
  padding-left: 4px;
}

.om-run-line {
  display: flex;
  align-items: center;
  gap: 2px;
}

.om-open {
  all: unset;
  cursor: pointer;
  flex: 1;
  min-width: 0;
  display: grid;
  grid-template-columns: 16px minmax(0, 1fr);
  padding: 2px;
}

.om-open:hover {
  background: var(--jp-layout-color2, #eee);
}

.om-run-name {
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
  font-weight: 600;
}

.om-run-facts {
  grid-column: 2;
}

.om-run-name small,
.om-run-facts,
.om-part {
  color: var(--jp-ui-font-color2, #616161);
  font-weight: normal;
}

.om-run-facts {
  font-size: 12px;
}

.om-part {
  padding: 10px 0 2px;
}

.om-asks {
  padding: 2px 4px 6px;
  overflow-wrap: anywhere;
}

.om-question {
  font-weight: 600;
  padding-bottom: 4px;
}

.om-asks pre {
  max-height: 160px;
}

.om-buttons {
  display: flex;
  flex-wrap: wrap;
  gap: 6px;
  padding-top: 6px;
}

.om-asks textarea {
  width: 100%;
  margin-top: 6px;
  resize: vertical;
  color: inherit;
  background: var(--jp-input-background, #fff);
  border: 1px solid var(--om-line);
  font: 12px/1.45 var(--jp-code-font-family, monospace);
}

.om-compare {
  height: 100%;
  overflow: auto;
  padding: 8px 12px;
  color: var(--jp-content-font-color1, #212121);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
}

.om-compare h4 {
  margin: 12px 0 4px;
}

.om-compare summary {
  cursor: pointer;
}

.om-table {
  border-collapse: collapse;
}

.om-table.om-wide {
  width: 100%;
  table-layout: fixed;
  margin: 4px 0 8px;
}

.om-table.om-wide th {
  width: 60px;
}

.om-table :is(th, td) {
  text-align: left;
  vertical-align: top;
  padding: 1px 14px 1px 0;
}

.om-table th[scope='row'] {
  font-weight: normal;
  color: var(--jp-content-font-color2, #616161);
}

.om-differs td {
  font-weight: 600;
}
`,""]),r.d(e,{},{A:n})},719(o){o.exports=function(o){var e=[];return e.toString=function(){return this.map(function(e){var r="",t=void 0!==e[5];return e[4]&&(r+="@supports (".concat(e[4],") {")),e[2]&&(r+="@media ".concat(e[2]," {")),t&&(r+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),r+=o(e),t&&(r+="}"),e[2]&&(r+="}"),e[4]&&(r+="}"),r}).join("")},e.i=function(o,r,t,a,i){"string"==typeof o&&(o=[[null,o,void 0]]);var n={};if(t)for(var m=0;m<this.length;m++){var l=this[m][0];null!=l&&(n[l]=!0)}for(var d=0;d<o.length;d++){var p=[].concat(o[d]);t&&n[p[0]]||(void 0!==i&&(void 0===p[5]||(p[1]="@layer".concat(p[5].length>0?" ".concat(p[5]):""," {").concat(p[1],"}")),p[5]=i),r&&(p[2]&&(p[1]="@media ".concat(p[2]," {").concat(p[1],"}")),p[2]=r),a&&(p[4]?(p[1]="@supports (".concat(p[4],") {").concat(p[1],"}"),p[4]=a):p[4]="".concat(a)),e.push(p))}},e}},126(o){o.exports=function(o){return o[1]}},559(o){var e=[];function r(o){for(var r=-1,t=0;t<e.length;t++)if(e[t].identifier===o){r=t;break}return r}function t(o,t){for(var a={},i=[],n=0;n<o.length;n++){var m=o[n],l=t.base?m[0]+t.base:m[0],d=a[l]||0,p="".concat(l," ").concat(d);a[l]=d+1;var s=r(p),c={css:m[1],media:m[2],sourceMap:m[3],supports:m[4],layer:m[5]};if(-1!==s)e[s].references++,e[s].updater(c);else{var f=function(o,e){var r=e.domAPI(e);return r.update(o),function(e){e?(e.css!==o.css||e.media!==o.media||e.sourceMap!==o.sourceMap||e.supports!==o.supports||e.layer!==o.layer)&&r.update(o=e):r.remove()}}(c,t);t.byIndex=n,e.splice(n,0,{identifier:p,updater:f,references:1})}i.push(p)}return i}o.exports=function(o,a){var i=t(o=o||[],a=a||{});return function(o){o=o||[];for(var n=0;n<i.length;n++){var m=r(i[n]);e[m].references--}for(var l=t(o,a),d=0;d<i.length;d++){var p=r(i[d]);0===e[p].references&&(e[p].updater(),e.splice(p,1))}i=l}}},672(o){var e={};o.exports=function(o,r){var t=function(o){if(void 0===e[o]){var r=document.querySelector(o);if(window.HTMLIFrameElement&&r instanceof window.HTMLIFrameElement)try{r=r.contentDocument.head}catch(o){r=null}e[o]=r}return e[o]}(o);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(r)}},691(o){o.exports=function(o){var e=document.createElement("style");return o.setAttributes(e,o.attributes),o.insert(e,o.options),e}},596(o,e,r){o.exports=function(o){var e=r.nc;e&&o.setAttribute("nonce",e)}},204(o){o.exports=function(o){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=o.insertStyleElement(o);return{update:function(r){var t,a,i;t="",r.supports&&(t+="@supports (".concat(r.supports,") {")),r.media&&(t+="@media ".concat(r.media," {")),(a=void 0!==r.layer)&&(t+="@layer".concat(r.layer.length>0?" ".concat(r.layer):""," {")),t+=r.css,a&&(t+="}"),r.media&&(t+="}"),r.supports&&(t+="}"),(i=r.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(i))))," */")),o.styleTagTransform(t,e,o.options)},remove:function(){var o;null===(o=e).parentNode||o.parentNode.removeChild(o)}}}},696(o){o.exports=function(o,e){if(e.styleSheet)e.styleSheet.cssText=o;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(o))}}},215(o,e,r){var t=r(559),a=r.n(t),i=r(204),n=r.n(i),m=r(672),l=r.n(m),d=r(596),p=r.n(d),s=r(691),c=r.n(s),f=r(696),x=r.n(f),u=r(622),h={};h.styleTagTransform=x(),h.setAttributes=p(),h.insert=l().bind(null,"head"),h.domAPI=n(),h.insertStyleElement=c(),a()(u.A,h),u.A&&u.A.locals&&u.A.locals;var g=r(536),b={};b.styleTagTransform=x(),b.setAttributes=p(),b.insert=l().bind(null,"head"),b.domAPI=n(),b.insertStyleElement=c(),a()(g.A,b),g.A&&g.A.locals&&g.A.locals;var v=r(72),w={};w.styleTagTransform=x(),w.setAttributes=p(),w.insert=l().bind(null,"head"),w.domAPI=n(),w.insertStyleElement=c(),a()(v.A,w),v.A&&v.A.locals&&v.A.locals;var y=r(501),k={};k.styleTagTransform=x(),k.setAttributes=p(),k.insert=l().bind(null,"head"),k.domAPI=n(),k.insertStyleElement=c(),a()(y.A,k),y.A&&y.A.locals&&y.A.locals}}]);