// The page `models`.

import "./api.js";
