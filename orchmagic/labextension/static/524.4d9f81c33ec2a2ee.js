"use strict";(self.rspackChunkorchmagic=self.rspackChunkorchmagic||[]).push([[524],{536(o,e,r){var t=r(126),a=r.n(t),n=r(719),i=(r.n(n))()(a());i.push([o.id,`/* The trace. Colors come from the theme, those of bars from palette.css. */

.om-trace {
  --om-red: var(--jp-error-color1, #d32f2f);
  --om-line: var(--jp-border-color2, #bdbdbd);
  container: om-trace / inline-size;
  color: var(--jp-content-font-color1, #212121);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  padding: 4px 2px;
}

.om-trace,
.om-trace *,
.om-panel *,
.om-compare * {
  box-sizing: border-box;
}

.om-head {
  display: flex;
  flex-wrap: wrap;
  gap: 2px 14px;
  align-items: baseline;
  padding-bottom: 4px;
}

.om-head > .om-error,
.om-head > .om-why {
  flex-basis: 100%;
}

.om-name {
  all: unset;
  cursor: pointer;
  font-weight: 600;
  font-size: 14px;
}

.om-name:focus-visible,
.om-failure:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2);
  outline-offset: 1px;
}

.om-status {
  font-weight: 600;
}

.om-status.om-is-done {
  color: var(--jp-success-color0, #1b5e20);
}

[data-jp-theme-light='false'] .om-status.om-is-done {
  color: var(--jp-success-color1, #66bb6a);
}

.om-status.om-is-failed,
.om-trace .om-error,
.om-panel .om-error {
  color: var(--jp-error-color1, #d32f2f);
}

[data-jp-theme-light='false'] :is(.om-status.om-is-failed, .om-trace .om-error, .om-panel .om-error) {
  color: #ff8a80;
}

.om-faint,
.om-note,
.om-trace small {
  color: var(--jp-content-font-color2, #616161);
}

.om-failures {
  display: grid;
  gap: 3px;
}

.om-failures:not(:empty) {
  padding: 2px 0 6px;
}

.om-failure {
  all: unset;
  cursor: pointer;
  display: block;
  overflow-wrap: anywhere;
  border-left: 4px solid var(--om-red);
  background: color-mix(in srgb, var(--om-red) 12%, transparent);
  padding: 2px 8px;
}

.om-failure .om-faint {
  display: block;
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
  opacity: 0.6;
}

/* One grid for every row: name, time axis, seconds, tokens, cost, words. */
.om-row {
  display: grid;
  grid-template-columns: minmax(120px, 24%) minmax(120px, 1fr) 62px 54px var(--om-money, 76px) minmax(0, 24%);
  column-gap: 8px;
  align-items: center;
  height: 24px;
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
  font-variant-numeric: tabular-nums;
}

.om-axis {
  color: var(--jp-content-font-color2, #616161);
  font-size: 11px;
  border-bottom: 1px solid var(--om-line);
  padding-right: 10px;
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
  color: var(--jp-error-color1, #d32f2f);
}

[data-jp-theme-light='false'] :is(.om-is-failed .om-step, .om-run.om-is-failed .om-mark) {
  color: #ff8a80;
}

.om-lane {
  position: relative;
  height: 14px;
  background: color-mix(in srgb, currentColor 9%, transparent);
}

.om-axis > .om-lane {
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

.om-tick:last-child {
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

/* The pane of the row that was chosen. */
.om-pane {
  border-top: 1px solid var(--om-line);
  max-height: 340px;
  overflow: auto;
  min-width: 0;
  padding: 4px 10px 8px;
  overflow-wrap: anywhere;
}

.om-trace .om-detail-head {
  margin: 2px 0 4px;
  font-size: 13px;
}

.om-figures {
  display: flex;
  flex-wrap: wrap;
  gap: 0 18px;
  margin: 0 0 4px;
}

.om-value {
  display: grid;
  grid-template-columns: 34px minmax(0, 1fr);
  margin-top: 4px;
}

.om-word {
  color: var(--jp-content-font-color2, #616161);
}

.om-trace pre,
.om-panel pre,
.om-compare pre {
  margin: 0;
  padding: 3px 8px;
  max-height: 260px;
  overflow: auto;
  white-space: pre-wrap;
  overflow-wrap: anywhere;
  color: inherit;
  background: var(--jp-layout-color2, #f5f5f5);
  font: 12px/1.45 var(--jp-code-font-family, monospace);
}

.om-role {
  color: var(--jp-content-font-color2, #616161);
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

/* Narrow: words first go, then tokens. Wide: the pane stands beside the rows. */
@container om-trace (max-width: 1199px) {
  .om-tick:nth-child(even) {
    display: none;
  }
}

@container om-trace (max-width: 820px) {
  .om-row {
    grid-template-columns: minmax(110px, 32%) minmax(80px, 1fr) 60px 52px var(--om-money, 70px);
  }

  .om-row > .om-note {
    display: none;
  }
}

@container om-trace (max-width: 480px) {
  .om-row {
    grid-template-columns: minmax(90px, 40%) minmax(60px, 1fr) 56px;
  }

  .om-row > :is(.om-tokens, .om-cost) {
    display: none;
  }
}

@container om-trace (min-width: 1200px) {
  .om-body {
    flex-direction: row;
  }

  .om-rows {
    flex: 1 1 64%;
  }

  .om-pane {
    flex: 1 1 36%;
    border-top: 0;
    border-left: 1px solid var(--om-line);
    max-height: 460px;
  }
}

/* In a tab of its own; below the notebook it needs a height. */
.om-down > :is(.om-tab, .om-compare) {
  min-height: 320px;
}

.om-tab {
  overflow: hidden;
}

.om-trace.om-fill {
  display: flex;
  flex-direction: column;
  height: 100%;
  padding: 8px 12px;
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
`,""]),r.d(e,{},{A:i})},72(o,e,r){var t=r(126),a=r.n(t),n=r(719),i=(r.n(n))()(a());i.push([o.id,`/* Cells of ours: what JupyterLab's own colours do not say. */

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
`,""]),r.d(e,{},{A:i})},622(o,e,r){var t=r(126),a=r.n(t),n=r(719),i=(r.n(n))()(a());i.push([o.id,`/* The colors of orchmagic/views/palette.py (a test compares them); statuses and kinds differ also by pattern and by word. */

.om-trace,
.om-panel,
.om-compare {
  --om-call: #0072b2;
  --om-tool: #b87a00;
  --om-code: #009e73;
  --om-grey: #797979;
  --om-bad: #c95900;
  --om-wait: #cc79a7;
}
`,""]),r.d(e,{},{A:i})},501(o,e,r){var t=r(126),a=r.n(t),n=r(719),i=(r.n(n))()(a());i.push([o.id,`/* The panel of runs, and two runs side by side. */

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
`,""]),r.d(e,{},{A:i})},719(o){o.exports=function(o){var e=[];return e.toString=function(){return this.map(function(e){var r="",t=void 0!==e[5];return e[4]&&(r+="@supports (".concat(e[4],") {")),e[2]&&(r+="@media ".concat(e[2]," {")),t&&(r+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),r+=o(e),t&&(r+="}"),e[2]&&(r+="}"),e[4]&&(r+="}"),r}).join("")},e.i=function(o,r,t,a,n){"string"==typeof o&&(o=[[null,o,void 0]]);var i={};if(t)for(var l=0;l<this.length;l++){var m=this[l][0];null!=m&&(i[m]=!0)}for(var p=0;p<o.length;p++){var s=[].concat(o[p]);t&&i[s[0]]||(void 0!==n&&(void 0===s[5]||(s[1]="@layer".concat(s[5].length>0?" ".concat(s[5]):""," {").concat(s[1],"}")),s[5]=n),r&&(s[2]&&(s[1]="@media ".concat(s[2]," {").concat(s[1],"}")),s[2]=r),a&&(s[4]?(s[1]="@supports (".concat(s[4],") {").concat(s[1],"}"),s[4]=a):s[4]="".concat(a)),e.push(s))}},e}},126(o){o.exports=function(o){return o[1]}},559(o){var e=[];function r(o){for(var r=-1,t=0;t<e.length;t++)if(e[t].identifier===o){r=t;break}return r}function t(o,t){for(var a={},n=[],i=0;i<o.length;i++){var l=o[i],m=t.base?l[0]+t.base:l[0],p=a[m]||0,s="".concat(m," ").concat(p);a[m]=p+1;var d=r(s),c={css:l[1],media:l[2],sourceMap:l[3],supports:l[4],layer:l[5]};if(-1!==d)e[d].references++,e[d].updater(c);else{var f=function(o,e){var r=e.domAPI(e);return r.update(o),function(e){e?(e.css!==o.css||e.media!==o.media||e.sourceMap!==o.sourceMap||e.supports!==o.supports||e.layer!==o.layer)&&r.update(o=e):r.remove()}}(c,t);t.byIndex=i,e.splice(i,0,{identifier:s,updater:f,references:1})}n.push(s)}return n}o.exports=function(o,a){var n=t(o=o||[],a=a||{});return function(o){o=o||[];for(var i=0;i<n.length;i++){var l=r(n[i]);e[l].references--}for(var m=t(o,a),p=0;p<n.length;p++){var s=r(n[p]);0===e[s].references&&(e[s].updater(),e.splice(s,1))}n=m}}},672(o){var e={};o.exports=function(o,r){var t=function(o){if(void 0===e[o]){var r=document.querySelector(o);if(window.HTMLIFrameElement&&r instanceof window.HTMLIFrameElement)try{r=r.contentDocument.head}catch(o){r=null}e[o]=r}return e[o]}(o);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(r)}},691(o){o.exports=function(o){var e=document.createElement("style");return o.setAttributes(e,o.attributes),o.insert(e,o.options),e}},596(o,e,r){o.exports=function(o){var e=r.nc;e&&o.setAttribute("nonce",e)}},204(o){o.exports=function(o){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=o.insertStyleElement(o);return{update:function(r){var t,a,n;t="",r.supports&&(t+="@supports (".concat(r.supports,") {")),r.media&&(t+="@media ".concat(r.media," {")),(a=void 0!==r.layer)&&(t+="@layer".concat(r.layer.length>0?" ".concat(r.layer):""," {")),t+=r.css,a&&(t+="}"),r.media&&(t+="}"),r.supports&&(t+="}"),(n=r.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),o.styleTagTransform(t,e,o.options)},remove:function(){var o;null===(o=e).parentNode||o.parentNode.removeChild(o)}}}},696(o){o.exports=function(o,e){if(e.styleSheet)e.styleSheet.cssText=o;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(o))}}},215(o,e,r){var t=r(559),a=r.n(t),n=r(204),i=r.n(n),l=r(672),m=r.n(l),p=r(596),s=r.n(p),d=r(691),c=r.n(d),f=r(696),u=r.n(f),x=r(622),g={};g.styleTagTransform=u(),g.setAttributes=s(),g.insert=m().bind(null,"head"),g.domAPI=i(),g.insertStyleElement=c(),a()(x.A,g),x.A&&x.A.locals&&x.A.locals;var h=r(536),b={};b.styleTagTransform=u(),b.setAttributes=s(),b.insert=m().bind(null,"head"),b.domAPI=i(),b.insertStyleElement=c(),a()(h.A,b),h.A&&h.A.locals&&h.A.locals;var v=r(72),w={};w.styleTagTransform=u(),w.setAttributes=s(),w.insert=m().bind(null,"head"),w.domAPI=i(),w.insertStyleElement=c(),a()(v.A,w),v.A&&v.A.locals&&v.A.locals;var y=r(501),k={};k.styleTagTransform=u(),k.setAttributes=s(),k.insert=m().bind(null,"head"),k.domAPI=i(),k.insertStyleElement=c(),a()(y.A,k),y.A&&y.A.locals&&y.A.locals}}]);