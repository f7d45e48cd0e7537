import js from '@eslint/js';
import ts from 'typescript-eslint';

const markup = 'texts of a trace are hostile: set them with textContent';

export default ts.config(js.configs.recommended, ...ts.configs.strictTypeChecked, {
  languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
  rules: {
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    '@typescript-eslint/no-non-null-assertion': 'off', // said where it is plain that something is there
    'no-control-regex': 'off', // control characters are what some expressions look for
    'no-restricted-properties': [
      'error',
      { property: 'innerHTML', message: markup },
      { property: 'outerHTML', message: markup },
      { property: 'insertAdjacentHTML', message: markup },
      { object: 'document', property: 'write', message: markup }
    ]
  }
});
