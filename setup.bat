@echo off
rem Finds Python 3.11 or 3.12 and hands over to installer\, which does the work. "setup.bat help" lists the words.
setlocal
set "check=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))"

for %%P in ("py -3.11" "py -3.12" "python" "python3") do (
    %%~P -c "%check%" >nul 2>nul && set "python=%%~P" && goto found
)
echo Python 3.11 or 3.12 is needed, and neither was found.
echo Install it with: winget install Python.Python.3.11 - then run this command again.
set code=1
goto end

:found
%python% "%~dp0installer\__main__.py" %*
set code=%errorlevel%

:end
rem Started by a double click, the window would close before its last words are read.
if not %code%==0 echo %cmdcmdline% | find /i "%~f0" >nul && pause
exit /b %code%
