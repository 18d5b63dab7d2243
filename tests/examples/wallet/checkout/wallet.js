"use strict"; // the script of the wallet
