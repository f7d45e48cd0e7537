/** Three bars on a time axis. */

import { LabIcon } from '@jupyterlab/ui-components';

export const icon = new LabIcon({
  name: 'orchmagic:runs',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" width="16"><g class="jp-icon3" fill="#616161">' +
    '<rect x="1" y="2" width="7" height="3" rx="1"/><rect x="5" y="6.5" width="6" height="3" rx="1"/>' +
    '<rect x="9" y="11" width="6" height="3" rx="1"/></g></svg>'
});
