function rtelasto_images(port, n_images)
% RTELASTO_IMAGES  Receive the images of `rtelasto run --igtl PORT` in MATLAB or Octave.
%
%   rtelasto_images            prints the next 10 images from port 18944
%   rtelasto_images(PORT, N)   prints the next N images from this port
%
% The images come by OpenIGTLink (docs/outputs.md), because neither MATLAB nor Octave has ZeroMQ. Octave
% needs its package instrument-control; MATLAB has tcpclient.
  if nargin < 1, port = 18944; end
  if nargin < 2, n_images = 10; end
  if exist('OCTAVE_VERSION', 'builtin')
    pkg('load', 'instrument-control');
  end
  client = tcpclient('127.0.0.1', port);
  for k = 1:n_images
    [name, pixels, spacing_mm] = next_image(client);
    % Pixels without strain are 0.
    typical = median(double(pixels(pixels ~= 0)));
    fprintf('%s: %d x %d pixels of %.3f x %.3f mm, median %.2f\n', ...
            name, size(pixels), spacing_mm, typical);
  end
end

function [name, pixels, spacing_mm] = next_image(client)
% NEXT_IMAGE  One IMAGE message: its device name, [n_lines, n_depths] pixels, their distances in mm.
  header = take(client, 58);
  name = text(header(15:34));
  assert(strcmp(text(header(3:14)), 'IMAGE'), 'rtelasto_images: not an IMAGE message');
  body = take(client, big_endian(header(43:50), 'uint64'));
  switch body(4)
    case 3, class = 'uint8';
    case 10, class = 'single';
    otherwise, error('rtelasto_images: scalar type %d', body(4));
  end
  n = double(big_endian(body(7:12), 'uint16'));
  pixels = typecast(body(73:end), class);
  if body(5) == 1
    pixels = swapbytes(pixels);
  end
  pixels = reshape(pixels, n(1), n(2));
  matrix = reshape(big_endian(body(13:60), 'single'), 3, 4);
  % Its columns are the steps from pixel to pixel along lines, depths and slices, and the centre.
  spacing_mm = [norm(matrix(:, 1)), norm(matrix(:, 2))];
end

function bytes = take(client, n)
% TAKE  The next N bytes, also where they arrive in several pieces.
  bytes = zeros(1, 0, 'uint8');
  while numel(bytes) < n
    bytes = [bytes, uint8(read(client, double(n) - numel(bytes), 'uint8'))];
  end
end

function values = big_endian(bytes, class)
  values = swapbytes(typecast(bytes, class));
end

function value = text(bytes)
  value = char(bytes(bytes ~= 0));
end
