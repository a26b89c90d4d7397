// The page `teach`.

import "./api.js";
